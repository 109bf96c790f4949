// Accept what others drew, or send it back.

import { ask } from './api.js';
import { el, table, when } from './dom.js';
import { complain, toast } from './status.js';

const STATES = [['waiting', 'Waiting'], ['accepted', 'Accepted'], ['sent_back', 'Sent back']];

/** Revisions by what was said of them. */
export async function reviewPage(app, state = 'waiting') {
  const { reviews } = await ask('reviews', { query: { state } });
  const tabs = STATES.map(([id, name]) => el('a', {
    class: 'button', href: `#/review/${id}`, 'aria-current': id === state ? 'page' : null }, name));
  return el('section', { class: 'page' }, el('h1', {}, 'Review'),
    el('nav', { class: 'row', 'aria-label': 'State' }, tabs),
    reviews.length ? table('Deliveries', [
      ['Case', (r) => el('a', { href: `#/case/${encodeURIComponent(caseOf(r))}` }, caseOf(r))],
      ['Revision', (r) => r.number, true],
      ['Author', (r) => r.author],
      ['When', (r) => when(r.created)],
      ['Seconds', (r) => (r.seconds === null || r.seconds === undefined ? '' : Math.round(r.seconds)), true],
      ['Remark', (r) => r.review?.remark || r.remark || ''],
      ['', (r) => (state === 'waiting' ? judge(app, r) : null)],
    ], reviews) : el('p', {}, 'None.'));
}

function caseOf(revision) {
  return revision.case || revision.case_id;
}

/** Look at a revision, accept it, or send it back with a remark. */
export function judge(app, revision) {
  const path = `cases/${encodeURIComponent(caseOf(revision))}/revisions/${revision.number}/review`;
  const say = async (verdict, remark) => {
    try {
      await ask(path, { method: 'POST', query: { author: app.author }, json: { verdict, remark } });
      toast(verdict === 'accepted' ? 'Accepted.' : 'Sent back; its query is open again.');
      app.refresh();
    } catch (error) {
      complain(error);
    }
  };
  const remark = el('textarea', { rows: '3', id: 'remark' });
  const dialog = el('dialog', { class: 'reasons', 'aria-label': 'Send back' },
    el('h2', {}, 'Send back'), el('label', { for: 'remark' }, 'What should be better?', remark),
    el('div', { class: 'row' },
      el('button', { type: 'button', class: 'primary', onclick: () => {
        dialog.close();
        say('sent_back', remark.value);
      } }, 'Send back'),
      el('button', { type: 'button', onclick: () => dialog.close() }, 'Cancel')));
  return el('span', { class: 'row' },
    el('a', { class: 'button', href: `#/look/${encodeURIComponent(caseOf(revision))}/${revision.number}` }, 'Look'),
    el('button', { type: 'button', onclick: () => say('accepted', '') }, 'Accept'),
    el('button', { type: 'button', onclick: () => dialog.showModal() }, 'Send back …'), dialog);
}
