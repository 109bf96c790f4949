// What waits to be labelled, and who is at it.

import { ask } from './api.js';
import { duration, el, table, when } from './dom.js';
import { toast } from './status.js';
import { asked, cost } from './words.js';

/** The queue of the current round. */
export async function queuePage(app) {
  const [{ queries, stage, round }, cases] = await Promise.all([
    ask('queries'), ask('cases').then((list) => new Map(list.cases.map((item) => [item.id, item])))]);
  const open = queries.filter((query) => query.status === 'open');
  const free = open.filter((query) => !query.lease || query.lease.author === app.author);
  const seconds = open.reduce((sum, query) =>
    (/^s(econds)?$/.test(query.unit) ? sum + query.cost : NaN), 0);
  const begin = el('button', { type: 'button', class: 'primary', disabled: !free.length,
    onclick: () => next(app) }, 'Start with the next one');
  const summary = open.length
    ? `${open.length} of ${queries.length} queries open${
      Number.isFinite(seconds) && seconds > 0 ? `, about ${duration(seconds)} of work` : ''}.`
    : 'Nothing is asked for at the moment.';
  const rows = [...open, ...queries.filter((query) => query.status !== 'open')];
  return el('section', { class: 'page' },
    el('h1', {}, round === null || round === undefined ? 'Queue' : `Queue of round ${round}`),
    el('p', {}, summary),
    el('div', { class: 'row' }, begin,
      open.length ? null : el('a', { class: 'button', href: '#/dashboard' }, 'Train and ask for more'),
      el('a', { class: 'button', href: '#/cases' }, 'Label without a query')),
    stage === 'training' ? el('p', { class: 'quiet' }, 'A training is under way.') : null,
    rows.length ? table('Queries of this round', [
      ['Query', (q) => (q.status === 'open' ? el('a', { href: `#/query/${q.id}` }, q.id) : q.id)],
      ['Case', (q) => el('a', { href: `#/case/${encodeURIComponent(q.case)}` }, q.case)],
      ['Asked', (q) => asked(q, cases.get(q.case))],
      ['Reason', (q) => q.reason],
      ['Expected', (q) => cost(q) || 'unknown', true],
      ['State', (q) => state(q, app)],
    ], rows) : null);
}

function state(query, app) {
  if (query.status !== 'open') return query.status;
  if (!query.lease) return 'open';
  if (query.lease.author === app.author) return 'yours';
  return `${query.lease.author}, until ${when(query.lease.until)}`;
}

/** Take the next query and go there. */
export async function next(app) {
  const query = await ask('queries/next', { method: 'POST', query: { author: app.author } });
  if (!query) {
    toast('Nothing is open, or others work on what is.');
    location.hash = '#/';
    return;
  }
  app.leased = query;
  location.hash = `#/query/${query.id}`;
}
