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
      ['', (r) => (state === 'waiting' ? lookAndJudge(app, r) : look(r))],
    ], reviews) : el('p', {}, 'None.'));
}

function caseOf(revision) {
  return revision.case || revision.case_id;
}

/** What was said of a revision; nothing was yet if it is null. */
export function verdict(review) {
  if (!review) return null;
  const words = review.verdict === 'accepted' ? 'Accepted' : 'Sent back';
  return el('p', { class: 'remark' }, el('strong', {}, `${words} by ${review.reviewer}. `), review.remark);
}

function look(revision) {
  const place = `#/look/${encodeURIComponent(caseOf(revision))}/${revision.number}`;
  return el('a', { class: 'button', href: place }, 'Look');
}

/** A link to look at a revision, and the buttons that accept it or send it back. */
export function lookAndJudge(app, revision) {
  return el('span', { class: 'row' }, look(revision), judge(app, revision, () => app.refresh()));
}

/** Accept a revision, or send it back with a remark; `done` is called when the server has it. */
export function judge(app, revision, done) {
  const path = `cases/${encodeURIComponent(caseOf(revision))}/revisions/${revision.number}/review`;
  const say = async (verdict, remark) => {
    try {
      await ask(path, { method: 'POST', query: { author: app.author }, json: { verdict, remark } });
      toast(verdict === 'accepted' ? 'Accepted.' : 'Sent back; its query is open again.');
      done();
    } catch (error) {
      complain(error);
    }
  };
  const id = `remark-${caseOf(revision)}-${revision.number}`;
  const remark = el('textarea', { rows: '3', maxlength: '2000', id });
  const dialog = el('dialog', { class: 'reasons', 'aria-label': 'Send back' },
    el('h2', {}, 'Send back'), el('label', { for: id }, 'What should be better?', remark),
    el('div', { class: 'row' },
      el('button', { type: 'button', class: 'primary', onclick: () => {
        dialog.close();
        say('sent_back', remark.value);
      } }, 'Send back'),
      el('button', { type: 'button', onclick: () => dialog.close() }, 'Cancel')));
  return el('span', { class: 'row' },
    el('button', { type: 'button', onclick: () => say('accepted', '') }, 'Accept'),
    el('button', { type: 'button', onclick: () => dialog.showModal() }, 'Send back …'), dialog);
}
