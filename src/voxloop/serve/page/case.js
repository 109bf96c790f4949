// The cases, and a page for each: how it stands, its history, what the model thinks of itself.

import { ask, askIfAny } from './api.js';
import { el, facts, score, table, when } from './dom.js';
import { meshPanel } from './mesh.js';
import { lookAndJudge } from './review.js';
import { complain, toast } from './status.js';

function share(value) {
  return `${(100 * value).toFixed(1)} %`;
}

/** All cases. */
export async function casesPage() {
  const { cases } = await ask('cases');
  return el('section', { class: 'page' }, el('h1', {}, 'Cases'),
    table('Cases of this workspace', [
      ['Case', (c) => el('a', { href: `#/case/${encodeURIComponent(c.id)}` }, c.id)],
      ['Size', (c) => c.shape.join(' × '), true],
      ['Voxel, mm', (c) => c.spacing_mm.map((mm) => mm.toFixed(2)).join(' × '), true],
      ['Orientation', (c) => c.orientation],
      ['Slices looked at', (c) => share(c.slice_share), true],
      ['Deliveries', (c) => c.revisions, true],
      ['Open queries', (c) => c.open_queries, true],
      ['Proposal', (c) => (c.has_proposal ? 'yes' : 'no')],
    ], cases));
}

/** One case. */
export async function casePage(app, id) {
  const path = `cases/${encodeURIComponent(id)}`;
  const [item, { revisions }, pairs, meshes] = await Promise.all([
    ask(path), ask(`${path}/revisions`), askIfAny(`${path}/agreement`), meshPanel(app, id)]);
  return el('section', { class: 'page' }, el('h1', {}, item.id),
    facts([
      ['Size', `${item.shape.join(' × ')} voxels of ${item.spacing_mm.map((mm) => mm.toFixed(2)).join(' × ')} mm`],
      ['Orientation', item.orientation],
      ['Channels', item.channels.join(', ')],
      ['Looked at', `${share(item.slice_share)} of slices, ${share(item.voxel_share)} of voxels`],
      ['Labels found', Object.entries(item.labels).map(([name, n]) => `${name} ${n.toLocaleString()}`).join(', ')],
    ]),
    labelForm(item), quality(item), history(app, item, revisions), agreement(pairs), meshes);
}

/** Where to begin labelling without a query. */
function labelForm(item) {
  const axis = el('select', { id: 'axis' }, ['first', 'second', 'third'].map((name, at) =>
    el('option', { value: String(at), selected: at === item.slice_axis }, `${name} axis, ${item.shape[at]} slices`)));
  const channel = el('select', { id: 'channel' }, item.channels.map((name, at) =>
    el('option', { value: String(at) }, name)));
  const slice = el('input', { type: 'number', id: 'begin', min: '1', max: String(Math.max(...item.shape)),
    value: String(Math.ceil(item.shape[item.slice_axis] / 2)) });
  const go = () => {
    location.hash = `#/label/${encodeURIComponent(item.id)}/${axis.value}/${slice.value - 1}/${channel.value}`;
  };
  return el('div', { class: 'row' },
    el('label', { for: 'axis' }, 'Across the ', axis),
    item.channels.length > 1 ? el('label', { for: 'channel' }, 'Channel ', channel) : null,
    el('label', { for: 'begin' }, 'From slice ', slice),
    el('button', { type: 'button', class: 'primary', onclick: go }, 'Label'));
}

/** What the newest model's result is expected to be worth, or why that is not known. */
function quality(item) {
  const title = el('h2', {}, 'Expected quality of the proposal');
  if (!item.quality) {
    return el('section', {}, title, el('p', {}, 'No model has seen this case yet.'));
  }
  const { labels, checks, why_unknown: why } = item.quality;
  const withInterval = (value, low, high, digits) => (value === null ? '–'
    : value.toFixed(digits) + (low === null || high === null ? ''
      : ` [${low.toFixed(digits)}, ${high.toFixed(digits)}]`));
  return el('section', {}, title,
    why ? el('p', {}, `Not known: ${why}.`) : null,
    checks.length ? el('div', { class: 'remark' }, el('strong', {}, 'Check before use:'),
      el('ul', {}, checks.map((reason) => el('li', {}, reason)))) : null,
    why || checks.length ? null : el('p', {}, 'Nothing odd was found in it.'),
    labels.length ? table(why ? 'What the model found' : 'What the model found, and what it expects that to be worth', [
      ['Label', (r) => r.name],
      ['Volume, ml', (r) => r.volume_ml.toFixed(2), true],
      ...(why ? [] : [
        ['Dice', (r) => (r.dice === null && r.part_dice !== null ? `${r.part_dice.toFixed(2)} in part`
          : withInterval(r.dice, r.dice_low, r.dice_high, 3)), true],
        ['Surface error, mm', (r) => withInterval(r.surface_mm, r.surface_low, r.surface_high, 2), true],
        ['Learnt from', (r) => (r.n_calibration ? `${r.n_calibration} cases` : '–'), true],
        ['Remark', (r) => r.note],
      ]),
    ], labels) : null);
}

function history(app, item, revisions) {
  const path = `cases/${encodeURIComponent(item.id)}`;
  if (!revisions.length) {
    return el('section', {}, el('h2', {}, 'History'), el('p', {}, 'No deliveries yet.'));
  }
  const pick = (id, chosen) => el('select', { id }, revisions.map((r) =>
    el('option', { value: String(r.number), selected: r.number === chosen }, String(r.number))));
  const first = pick('first', Math.max(1, revisions.at(-1).number - 1));
  const second = pick('second', revisions.at(-1).number);
  const result = el('div', { role: 'status' });
  const undo = async (revision) => {
    try {
      await ask(`${path}/undo`, { method: 'POST', query: { author: app.author, revision: revision.number },
        headers: { 'If-Match': `"${item.etag}"` } });
      toast(`Revision ${revision.number} is taken back; nothing is lost.`);
      app.refresh();
    } catch (error) {
      complain(error);
    }
  };
  const compare = async () => {
    try {
      result.replaceChildren(comparison(await ask(`${path}/compare`,
        { query: { first: first.value, second: second.value } })));
    } catch (error) {
      complain(error);
    }
  };
  return el('section', {}, el('h2', {}, 'History'),
    table('Deliveries of this case, newest first', [
      ['Revision', (r) => r.number, true], ['Author', (r) => r.author || '–'],
      ['When', (r) => when(r.created)],
      ['Seconds', (r) => (r.seconds === null || r.seconds === undefined ? '–' : Math.round(r.seconds)), true],
      ['Tool', (r) => r.tool || '–'],
      ['Query', (r) => (r.query === null || r.query === undefined ? '–' : `${r.round ?? '?'}-${r.query}`)],
      ['Voxels', (r) => r.coverage.voxels.toLocaleString(), true],
      ['State', (r) => standing(r)],
      ['', (r) => el('span', { class: 'row' }, judgeIfWaiting(app, r),
        el('button', { type: 'button', onclick: () => undo(r) }, r.withdraws ? 'Restore' : 'Take back'))],
    ], [...revisions].reverse()),
    revisions.length > 1 ? el('div', { class: 'row' },
      el('label', { for: 'first' }, 'Compare the state after ', first),
      el('label', { for: 'second' }, 'with that after ', second),
      el('button', { type: 'button', onclick: compare }, 'Compare')) : null, result);
}

function judgeIfWaiting(app, revision) {
  return revision.active && !revision.review && !revision.withdraws ? lookAndJudge(app, revision) : null;
}

function standing(revision) {
  if (revision.withdraws) return `takes back ${revision.withdraws}`;
  if (revision.review) return revision.review.verdict === 'accepted' ? 'accepted' : 'sent back';
  return revision.active ? 'counts' : 'taken back';
}

function comparison(found) {
  const name = (value) => value ?? 'not looked at';
  return el('div', {}, el('p', {}, found.changed_voxels
    ? `${found.changed_voxels.toLocaleString()} voxels differ.` : 'No voxel differs.'),
  found.changes.length ? table('What changed', [
    ['From', (c) => name(c.from)], ['To', (c) => name(c.to)],
    ['Voxels', (c) => c.voxels.toLocaleString(), true]], found.changes) : null,
  found.scores.length ? table('Where both looked', [
    ['Label', (s) => s.label ?? s.name], ['Dice', (s) => score(s.dice), true],
    ['95 % Hausdorff, mm', (s) => score(s.hd95_mm), true]], found.scores) : null);
}

function agreement(found) {
  if (!found?.pairs?.length) return null;
  const rows = found.pairs.flatMap((pair) => pair.scores.map((one) => ({ ...one, pair })));
  return el('section', {}, el('h2', {}, 'Agreement between annotators'),
    table('Where two annotators looked at the same voxels', [
      ['Annotators', (r) => r.pair.authors.join(', ')], ['Label', (r) => r.label ?? r.name],
      ['Dice', (r) => score(r.dice), true], ['Mean surface distance, mm', (r) => score(r.assd_mm), true],
    ], rows));
}
