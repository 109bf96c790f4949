// How the project stands: learning curve, forecast, the referee, time, and training.

import { ask } from './api.js';
import { learningCurve } from './chart.js';
import { announce, duration, el, facts, score, table, when } from './dom.js';
import { complain, toast } from './status.js';

const Z_95 = 1.96;

/** The dashboard; it goes on by the server's events. */
export async function dashboardPage(app) {
  const state = await ask('dashboard');
  const job = new JobPanel(app, state.job);
  const stop = app.events.on('job', (fresh) => job.show(fresh));
  app.onLeave(stop);
  return el('section', { class: 'page' }, el('h1', {}, state.info.name),
    state.info.open_queries
      ? el('p', {}, el('a', { href: '#/' }, `${state.info.open_queries} queries wait in the queue.`))
      : el('p', {}, 'Nothing is asked for. “Train now” learns from what is labelled, then asks; '
        + '“Ask only” asks at once, as at the very beginning.'),
    job.node,
    el('div', { class: 'cards' }, progress(state), quality(state), referee(state)),
    curve(state.forecast));
}

function progress({ info }) {
  return el('section', { class: 'card' }, el('h2', {}, 'Labels so far'), facts([
    ['Cases', String(info.cases.length)],
    ['Looked at', `${(100 * info.slice_share).toFixed(1)} % of slices, ${(100 * info.voxel_share).toFixed(1)} % of voxels`],
    ['Time spent', info.seconds === null ? 'not logged' : duration(info.seconds)],
    ['Rounds', info.rounds.map(([number, stage]) => `${number} ${stage}`).join(', ') || 'none yet'],
    ['Open queries', String(info.open_queries)],
    ...Object.entries(info.labels).map(([name, voxels]) => [name, `${voxels.toLocaleString()} voxels`]),
  ]));
}

function quality({ info }) {
  const found = info.quality;
  if (!found) {
    return el('section', { class: 'card' }, el('h2', {}, 'Quality'),
      el('p', {}, 'Not validated yet. “Train, check and ask” validates across cases.'));
  }
  return el('section', { class: 'card' }, el('h2', {}, 'Quality'),
    el('p', { class: 'quiet' }, `Dice of cases the model had not seen, round ${found.round_number}${
      found.is_current ? '' : '; labels have come in since'}.`),
    table('Dice by label', [
      ['Label', (r) => r.name], ['Dice', (r) => score(r.dice), true],
      ['95 % interval', (r) => (r.low === null ? r.note : `${score(r.low)} to ${score(r.high)}`), true],
      ['Cases', (r) => r.cases, true]], found.labels));
}

function referee({ referee: found }) {
  return el('section', { class: 'card' }, el('h2', {}, 'Does choosing pay?'),
    found ? [
      el('ul', {}, found.judgements.map((one) => el('li', {}, one.sentence))),
      el('p', { class: 'quiet' }, found.caveat)]
      : el('p', {}, 'The referee compares chosen regions with random controls; it has not been asked yet.'));
}

function curve(found) {
  const points = (found?.rounds || []).map((point) => ({
    x: point.budget, y: point.score,
    low: point.error ? Math.max(0, point.score - Z_95 * point.error) : null,
    high: point.error ? Math.min(1, point.score + Z_95 * point.error) : null,
  }));
  const ahead = found?.forecast && {
    x: found.forecast.budget, y: found.forecast.value, low: found.forecast.low, high: found.forecast.high,
  };
  return el('section', { class: 'card wide' }, el('h2', {}, 'Learning curve'),
    el('p', {}, found?.sentence || 'No validated round yet.'),
    found?.advice ? el('p', { class: 'quiet' }, found.advice.reason) : null,
    points.length ? learningCurve(points, ahead, { x: 'Labelled slices', y: 'Mean Dice' }) : null);
}

/** Training: how it goes, start, stop, go on. */
class JobPanel {
  constructor(app, job) {
    this.app = app;
    this.title = el('h2', {}, 'Training');
    this.words = el('p', { role: 'status' });
    this.bar = el('progress', { max: '1', 'aria-label': 'Progress of the job' });
    this.lines = el('pre', { class: 'lines', tabindex: '0', 'aria-label': 'Last lines of the job' });
    this.minutes = el('input', { type: 'number', id: 'minutes', min: '0.1', step: 'any', value: '10' });
    this.size = el('input', { type: 'number', id: 'queries', min: '1', max: '1000', value: '16' });
    const button = (name, run, kind) => el('button', { type: 'button', class: kind, onclick: run }, name);
    this.train = button('Train now', () => this.start(['train', 'propose', 'suggest']), 'primary');
    this.check = button('Train, check and ask', () => this.start(
      ['train', 'validate', 'propose', 'suggest', 'referee']));
    this.asker = button('Ask only', () => this.start(['suggest']));
    this.surfaces = button('Make surfaces', () => this.start(['mesh']));
    this.stopper = button('Stop', () => this.post('stop'));
    this.resumer = button('Go on', () => this.post('resume'));
    this.form = el('div', { class: 'row' },
      el('label', { for: 'minutes' }, 'Minutes ', this.minutes),
      el('label', { for: 'queries' }, 'Queries ', this.size), this.train, this.check,
      this.asker, this.surfaces);
    this.node = el('section', { class: 'card wide job' }, this.title, this.words, this.bar,
      this.form, el('div', { class: 'row' }, this.stopper, this.resumer),
      el('details', {}, el('summary', {}, 'Details'), this.lines));
    this.show(job);
  }

  show(job) {
    const before = this.job?.state;
    this.job = job;
    const running = job?.state === 'running';
    const done = job?.progress && job.progress.total ? job.progress.done / job.progress.total : null;
    this.words.textContent = sentence(job);
    this.bar.hidden = !running;
    if (done === null) this.bar.removeAttribute('value');
    else this.bar.value = done;
    this.form.hidden = running;
    this.stopper.hidden = !running;
    this.resumer.hidden = running || !job?.resumable;
    this.lines.textContent = (job?.lines || []).join('\n');
    if (before === 'running' && !running) {
      announce(sentence(job));
      this.app.refresh();
    }
  }

  async start(steps) {
    const minutes = Number(this.minutes.value);
    const json = { steps, minutes, query_size: Number(this.size.value) };
    try {
      this.show(await ask('jobs', { method: 'POST', query: { author: this.app.author }, json }));
      toast('Started. You can go on labelling meanwhile.');
    } catch (error) {
      complain(error);
    }
  }

  async post(verb) {
    try {
      this.show(await ask(`jobs/${this.job.id}/${verb}`, { method: 'POST' }));
    } catch (error) {
      complain(error);
    }
  }
}

function sentence(job) {
  if (!job) return 'Nothing was trained from here yet.';
  const note = job.progress ? `${job.progress.stage} ${job.progress.note || ''}`.trim() : '';
  if (job.state === 'running') return `Running: ${job.step}${note ? `, ${note}` : ''}`;
  const end = { done: 'Done', failed: 'Failed', stopped: 'Stopped', interrupted: 'Interrupted' };
  return `${end[job.state] || job.state}: ${job.steps.join(', ')}${
    job.finished ? `, ${when(job.finished)}` : ''}${job.message ? `. ${job.message}` : ''}`;
}
