// The page's frame: who works here, where the address leads, what the server tells.

import { ApiError, ask, listen } from './api.js';
import { casePage, casesPage } from './case.js';
import { dashboardPage } from './dashboard.js';
import { el } from './dom.js';
import { showHelp } from './help.js';
import { watchKeys } from './keys.js';
import { next, queuePage } from './queue.js';
import { reviewPage } from './review.js';
import { complain } from './status.js';

const AUTHOR = 'voxloop/author';

/** The server's events, shared by whoever wants them. */
class Events {
  constructor() {
    this.handlers = new Map();
    this.last = new Map();
    const pass = (name) => (document_) => {
      this.last.set(name, document_);
      for (const handler of this.handlers.get(name) || []) handler(document_);
    };
    this.source = listen({ job: pass('job'), change: pass('change') });
  }

  on(name, handler) {
    if (!this.handlers.has(name)) this.handlers.set(name, new Set());
    this.handlers.get(name).add(handler);
    return () => this.handlers.get(name).delete(handler);
  }
}

const app = {
  server: null,
  author: localStorage.getItem(AUTHOR) || '',
  leased: null,
  desk: null,
  leavers: [],
  onLeave: (stop) => app.leavers.push(stop),
  refresh: () => route(),
  help: () => showHelp(),
};

const main = document.getElementById('main');

function askName() {
  return new Promise((resolve) => {
    const name = el('input', { id: 'name', required: true, maxlength: '80', autocomplete: 'name', value: app.author });
    const dialog = el('dialog', { class: 'name', 'aria-label': 'Your name' },
      el('form', { method: 'dialog', onsubmit: (event) => {
        event.preventDefault();
        const given = name.value.trim();
        if (!given) return;
        app.author = given;
        localStorage.setItem(AUTHOR, given);
        dialog.close();
      } },
      el('h2', {}, 'Who is labelling?'),
      el('label', { for: 'name' }, 'Your name', name),
      el('p', { class: 'quiet' }, 'It is kept with everything that you deliver.'),
      el('button', { class: 'primary' }, 'Begin')));
    dialog.addEventListener('cancel', (event) => { if (!app.author) event.preventDefault(); });
    dialog.addEventListener('close', () => { dialog.remove(); showName(); resolve(); });
    document.body.append(dialog);
    dialog.showModal();
  });
}

function showName() {
  document.getElementById('author').textContent = app.author || 'Your name';
}

async function openQuery(id) {
  let query = app.leased?.id === id ? app.leased : null;
  app.leased = null;
  if (!query) {
    query = await ask(`queries/${id}/lease`, { method: 'POST', query: { author: app.author } });
  }
  const item = await ask(`cases/${encodeURIComponent(query.case)}`);
  return annotate({ item, query });
}

async function openCase(id, axis, slice, channel) {
  const item = await ask(`cases/${encodeURIComponent(id)}`);
  return annotate({ item, query: null, axis: Number(axis ?? item.slice_axis),
    slice: Math.min(Math.max(Number(slice ?? 0), 0), item.shape[Number(axis ?? item.slice_axis)] - 1),
    channel: Number(channel || 0) });
}

/** NiiVue is large: it comes when it is needed, or while somebody reads the queue. */
async function prepare() {
  const [{ Annotation }, { Desk }] = await Promise.all([import('./annotate.js'), import('./desk.js')]);
  if (!app.desk) app.desk = new Desk();
  return Annotation;
}

async function annotate(task) {
  const Annotation = await prepare();
  const view = new Annotation(task, app, ({ next: goOn, complete }) => {
    if (complete) location.hash = '#/dashboard';
    else if (goOn) next(app).catch(complain);
    else location.hash = `#/case/${encodeURIComponent(task.item.id)}`;
  });
  app.view = view;
  app.onLeave(() => { view.close(); app.view = null; });
  return { node: view.node, after: () => view.open() };
}

const ROUTES = [
  [/^\/?$/, () => queuePage(app), 'Queue'],
  [/^\/query\/([\w-]+)$/, (id) => openQuery(id), 'Queue'],
  [/^\/cases$/, () => casesPage(), 'Cases'],
  [/^\/case\/([^/]+)$/, (id) => casePage(app, id), 'Cases'],
  [/^\/label\/([^/]+)(?:\/(\d))?(?:\/(\d+))?(?:\/(\d+))?$/, (...parts) => openCase(...parts), 'Cases'],
  [/^\/look\/([^/]+)\/(\d+)$/, async (id, number) => {
    await prepare();
    return (await import('./look.js')).lookPage(app, id, Number(number));
  }, 'Review'],
  [/^\/dashboard$/, () => dashboardPage(app), 'Dashboard'],
  [/^\/review(?:\/(\w+))?$/, (state) => reviewPage(app, state), 'Review'],
];

let turn = 0;

async function route() {
  turn += 1;
  const mine = turn;
  for (const stop of app.leavers.splice(0)) stop();
  const path = decodeURI(location.hash.slice(1));
  const found = ROUTES.map(([pattern, page, name]) => [pattern.exec(path), page, name])
    .find(([match]) => match) || [null, () => el('p', {}, 'There is no such page.'), ''];
  const [match, page, name] = found;
  for (const link of document.querySelectorAll('.top nav a')) {
    if (link.textContent === name) link.setAttribute('aria-current', 'page');
    else link.removeAttribute('aria-current');
  }
  document.title = `${name || 'Voxloop'} – ${app.server.workspace.name}`;
  try {
    const made = await page(...(match ? match.slice(1).map((part) => part && decodeURIComponent(part)) : []));
    if (mine !== turn) return;
    main.replaceChildren(made.node || made);
    main.classList.toggle('filled', Boolean(made.node));
    if (made.after) await made.after();
    else main.focus({ preventScroll: true });
  } catch (error) {
    if (mine !== turn) return;
    const words = error instanceof ApiError ? error.message : `This page has a fault: ${error.message}`;
    main.replaceChildren(el('section', { class: 'page' }, el('h1', {}, 'Not possible'), el('p', {}, words),
      el('p', {}, el('a', { href: '#/' }, 'Back to the queue'))));
    if (!(error instanceof ApiError)) throw error;
  }
}

async function begin() {
  try {
    app.server = await ask('server');
  } catch (error) {
    main.replaceChildren(el('p', { role: 'alert' }, error.message));
    return;
  }
  document.getElementById('workspace').textContent = app.server.workspace.name;
  document.getElementById('author').addEventListener('click', askName);
  document.getElementById('help').addEventListener('click', showHelp);
  showName();
  if (!app.author) await askName();
  app.events = new Events();
  watchKeys((action) => {
    if (action !== 'help' || app.view || document.querySelector('dialog[open]')) return false;
    showHelp();
    return true;
  });
  window.addEventListener('hashchange', route);
  await route();
  const later = window.requestIdleCallback || ((run) => setTimeout(run, 500));
  later(() => prepare().catch(() => {}));
}

window.voxloop = app; // for tests, and for those who look behind
begin();
