// The list of keys, made from the table that the keys come from.

import { el } from './dom.js';
import { KEYS, keyName, single } from './keys.js';

/** Show all keys. */
export function showHelp() {
  const groups = new Map();
  for (const [group, keys, words] of KEYS) {
    if (!groups.has(group)) groups.set(group, []);
    groups.get(group).push([keys, words]);
  }
  const shown = (keys) => (keys.length > 4 ? [keys[0], '…', keys.at(-1)] : keys).map((key) =>
    (key === '…' ? '… ' : [el('kbd', {}, keyName(key)), ' '])).flat();
  const toggle = el('input', { type: 'checkbox', id: 'single', checked: single.on,
    onchange: (event) => { single.on = event.target.checked; } });
  const dialog = el('dialog', { class: 'help', 'aria-label': 'Keys' },
    el('div', { class: 'head' }, el('h2', {}, 'Keys'),
      el('button', { type: 'button', autofocus: true, onclick: () => dialog.close() }, 'Close')),
    el('div', { class: 'groups' }, [...groups].map(([group, rows]) => el('section', {},
      el('h3', {}, group), el('dl', {}, rows.map(([keys, words]) =>
        el('div', {}, el('dt', {}, shown(keys)), el('dd', {}, words))))))),
    el('p', {}, 'Mouse: left draws, middle moves the image, right changes the grey values, the wheel '
      + 'changes the slice, with Ctrl it enlarges, with Shift it changes the brush.'),
    el('label', { class: 'choice', for: 'single' }, toggle, 'Single keys act (switch off when dictating)'));
  dialog.addEventListener('close', () => dialog.remove());
  document.body.append(dialog);
  dialog.showModal();
}
