// The line that says whether all is saved, and short messages that go by themselves.

import { announce, el } from './dom.js';

const WORDS = {
  saved: 'All strokes saved',
  saving: 'Saving …',
  offline: 'Not saved: the server cannot be reached',
  conflict: 'Not saved',
  refused: 'Not saved: the server refused it',
  idle: 'No strokes yet',
};

/** Shows the state of the autosave; `onTakeOver` is called when its button is pressed. */
export class SaveState {
  constructor(onTakeOver) {
    this.text = el('span', {});
    this.take = el('button', { type: 'button', hidden: true, onclick: onTakeOver }, 'Go on here');
    this.node = el('p', { class: 'save', role: 'status', 'data-state': 'idle' }, this.text, this.take);
    this.set('idle');
  }

  set(state, detail) {
    const fresh = this.state !== state;
    this.state = state;
    if (fresh && ['offline', 'conflict', 'refused'].includes(state)) {
      toast(`${WORDS[state]}. Your strokes are kept in this browser.`, { kind: 'error' });
    }
    this.node.dataset.state = state;
    this.text.textContent = WORDS[state] + (detail && state !== 'saved' ? ` (${detail})` : '');
    this.take.hidden = state !== 'conflict';
  }
}

const MOST = 3; // more would lie over what is beside the image

/** Show a message for a while, with an action if there is one; it replaces those about the same. */
export function toast(text, { kind = 'info', about = text, action, run, seconds = 7 } = {}) {
  const node = el('div', { class: `toast ${kind}`, 'data-about': about }, el('span', {}, text));
  if (action) {
    node.append(el('button', { type: 'button', onclick: () => { node.remove(); run(); } }, action));
  }
  node.append(el('button', { type: 'button', class: 'close', 'aria-label': 'Close message',
    onclick: () => node.remove() }, '×'));
  const shown = document.getElementById('toasts');
  for (const old of [...shown.children]) if (old.dataset.about === about) old.remove();
  const passing = [...shown.children].filter((old) => !old.matches('.error'));
  for (const old of passing.slice(0, Math.max(0, shown.children.length - MOST + 1))) old.remove();
  shown.append(node);
  announce(text);
  setTimeout(() => node.remove(), (kind === 'error' ? 3 : 1) * seconds * 1000);
  return node;
}

/** What went wrong, in the server's own words with their remedies. */
export function complain(error) {
  const lines = (error.problems || []).map((one) =>
    [one.where, one.expected && `expected ${one.expected}`, one.found && `found ${one.found}`,
      one.remedy].filter(Boolean).join('; '));
  const detail = lines.length ? `: ${lines.join(' / ')}` : '';
  toast(`${error.message}${lines.includes(error.message) ? '' : detail}`, { kind: 'error' });
}
