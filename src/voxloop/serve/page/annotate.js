// The annotation view: one query, or a case without a query, from opening to submission.

import { ACTIONS } from './actions.js';
import { ask } from './api.js';
import { Autosave } from './autosave.js';
import { WorkClock } from './clock.js';
import { announce, el, facts } from './dom.js';
import { keyName, watchKeys } from './keys.js';
import { Painter } from './painter.js';
import { Panel } from './panel.js';
import { report } from './report.js';
import { load, uncertainty, windowFor, windowWith } from './scan.js';
import { SaveState, complain, toast } from './status.js';
import { REASONS, asked, cost } from './words.js';

const CT_WINDOWS = [['soft tissue', -160, 240], ['bone', -450, 1050], ['lung', -1350, 150]];
const TOOL = 'voxloop page';

/** The view for `task`: {item, query|null, axis, slice}; `leave(next)` is called at its end. */
export class Annotation {
  constructor(task, app, leave) {
    Object.assign(this, { task, app, leave });
    const { item, query } = task;
    this.free = !query;
    this.axis = query?.axis ?? task.axis ?? item.slice_axis;
    this.region = query ? query.region : { start: [0, 0, 0], stop: [...item.shape] };
    this.clock = new WorkClock();
    ({ stage: this.stage, viewer: this.viewer } = app.desk);
    this.panel = new Panel(app.server.labels, (action, key) => this.act(action, key), this.free);
    this.saves = new SaveState(() => this.autosave.takeOver());
    this.painter = new Painter({
      viewer: this.viewer, region: this.region, free: this.free,
      save: (patch) => { this.autosave.add(patch); this.marks(); },
      say: (text) => toast(text, { about: 'drawing', seconds: 4 }),
    });
    this.painter.value = app.server.labels[0].value;
    this.stops = [];
    this.build();
  }

  build() {
    const { item, query } = this.task;
    this.slider = el('input', { type: 'range', id: 'slice', step: '1',
      oninput: () => this.go(Number(this.slider.value)) });
    this.sliceText = el('output', { for: 'slice' });
    this.readout = el('p', { class: 'readout' });
    this.busy = el('p', { class: 'busy', role: 'status' }, 'Loading the image …');
    const button = (name, key, action, kind) => el('button', {
      type: 'button', class: kind, 'aria-keyshortcuts': key, onclick: () => this.act(action),
    }, el('span', {}, name), el('kbd', { 'aria-hidden': 'true' }, keyName(key)));
    this.about = el('aside', { class: 'about', 'aria-label': 'What is asked' },
      el('h1', {}, query ? `Query ${query.id}` : item.id),
      query ? el('p', { class: 'reason' }, query.reason) : el('p', {},
        'Labelling without a query: every slice you draw in, or mark, counts as looked at.'),
      facts([
        ['Case', el('a', { href: `#/case/${encodeURIComponent(item.id)}` }, item.id)],
        ['Asked', query ? asked(query, item) : null],
        ['Expected', query ? cost(query) : null],
        ['Strategy', query?.strategy],
      ]),
      el('div', { class: 'answers' },
        button('Submit', 'Enter', 'submit', 'primary'),
        query ? button('Nothing here', 'n', 'nothing') : null,
        query ? button('Skip …', 'x', 'skip') : null,
        button('Keys', '?', 'help', 'quiet')),
      this.saves.node);
    this.skipDialog = this.reasons();
    this.node = el('section', { class: 'annotate' },
      this.panel.node,
      el('div', { class: 'centre' }, this.stage.node, this.busy,
        el('div', { class: 'slider' }, el('label', { for: 'slice' }, 'Slice ', this.sliceText),
          this.slider, this.readout)),
      this.about, this.skipDialog);
  }

  /** Load everything and let the annotator begin. */
  async open() {
    const { item, query } = this.task;
    try {
      await this.app.desk.attached();
      const region = { start: [...this.region.start], stop: [...this.region.stop] };
      if (this.free) {
        const slice = this.task.slice ?? Math.floor(item.shape[this.axis] / 2);
        [region.start[this.axis], region.stop[this.axis]] = [slice, slice + 1];
      }
      this.home = Math.floor((region.start[this.axis] + region.stop[this.axis] - 1) / 2);
      this.again = query ? await this.sentBack() : null;
      await this.window(windowFor(item, region, this.axis), this.home);
      if (this.gone) return;
      this.autosave = new Autosave({
        caseId: item.id, query: query?.id, author: this.app.author, base: this.etag,
        clock: this.clock, place: this.app.server.workspace.name,
        states: (state, detail) => this.saves.set(state, detail),
      });
      const patches = await this.autosave.restore();
      if (this.gone) {
        this.autosave.close();
        return;
      }
      if (patches.length) {
        this.painter.resume(patches);
        this.saves.set('saved');
        toast('Your earlier strokes are back.');
      }
      this.painter.ready = true;
      this.listen();
      this.marks();
      this.busy.hidden = true;
      this.stage.node.focus({ preventScroll: true });
      performance.mark('voxloop:ready');
      this.node.dataset.ready = 'yes';
    } catch (error) {
      this.busy.textContent = error.message;
      complain(error);
    }
  }

  /** The delivery of this query that a reviewer sent back, if so: drawing goes on from there. */
  async sentBack() {
    const { item, query } = this.task;
    const { revisions } = await ask(`cases/${encodeURIComponent(item.id)}/revisions`);
    const found = revisions.findLast((one) => one.review?.verdict === 'sent_back'
      && `${one.round}-${one.query}` === query.id);
    if (!found) return null;
    const { reviewer, remark } = found.review;
    this.about.querySelector('.reason').after(el('p', { class: 'remark' },
      el('strong', {}, `Sent back by ${reviewer}. `), remark));
    return found;
  }

  /** Load a window of the case and show one of its slices. */
  async window(box, slice) {
    this.painter.ready = false;
    const found = await load(this.task.item, box, this.task.channel || 0);
    if (this.gone) return;
    const range = this.viewer.grid ? this.viewer.range : null;
    await this.viewer.open(found.image, box.start, this.axis);
    this.viewer.setColours(Object.fromEntries(
      this.app.server.labels.map((label) => [label.value, label.colour])));
    this.viewer.setOpacity(Number(this.panel.opacity.value) / 100);
    if (range) this.viewer.setRange(...range);
    this.stage.connect(this.viewer, this.painter, {
      scroll: (step) => this.go(this.viewer.slice + step),
      hover: (position) => this.hover(position),
      resize: (step) => this.resize(step),
      window: (dx, dy) => this.shiftWindow(dx, dy),
      colour: () => this.colour(),
    });
    this.viewer.show(slice);
    performance.mark('voxloop:first-slice');
    const labels = await found.labels(this.again?.number);
    if (this.gone) return;
    this.bytes = (this.bytes || 0) + found.sent + labels.sent;
    if (!this.etag) this.etag = labels.etag;
    this.proposed = labels.proposed;
    this.painter.begin(labels.known, labels.proposal);
    if (!this.range) this.range = this.viewer.range;
    const { grid } = this.viewer;
    this.slider.min = this.free ? 0 : grid.start[this.axis];
    this.slider.max = (this.free ? this.task.item.shape[this.axis] : grid.stop[this.axis]) - 1;
    this.painter.ready = Boolean(this.autosave);
    if (this.doubt) await this.viewer.setOverlay(await uncertainty(this.task.item, box));
    this.panel.show(this.painter);
    this.showSlice();
  }

  listen() {
    this.stops.push(watchKeys((action, key, event) => this.act(action, key, event)));
    const touch = () => this.clock.touch();
    const warn = (event) => {
      if (this.autosave.waiting.length) event.preventDefault();
    };
    for (const name of ['pointermove', 'keydown', 'wheel']) window.addEventListener(name, touch);
    window.addEventListener('beforeunload', warn);
    this.stops.push(() => {
      for (const name of ['pointermove', 'keydown', 'wheel']) window.removeEventListener(name, touch);
      window.removeEventListener('beforeunload', warn);
    });
  }

  close() {
    this.gone = true;
    for (const stop of this.stops) stop();
    this.autosave?.close();
    this.stage.leave();
    this.viewer.close();
  }

  /** Show a slice of the file; beyond the window more is loaded. */
  async go(slice) {
    const { item } = this.task;
    const wanted = Math.min(Math.max(slice, 0), item.shape[this.axis] - 1);
    const { grid } = this.viewer;
    if (!grid || this.moving) return;
    if (wanted >= grid.start[this.axis] && wanted < grid.stop[this.axis]) {
      this.viewer.show(wanted);
      this.showSlice();
      return;
    }
    await this.reach({
      start: item.shape.map((_, d) => (d === this.axis ? wanted : grid.start[d])),
      stop: item.shape.map((_, d) => (d === this.axis ? wanted + 1 : grid.stop[d])),
    });
    this.viewer.show(wanted);
    this.showSlice();
  }

  /** Load a window that holds a box, and what is asked. */
  async reach(box) {
    const { item } = this.task;
    const around = windowFor(item, box, this.axis);
    const most = Math.min(this.app.server.limits.image_voxels, 24e6);
    const wide = windowWith(item, this.viewer.grid.box(), around, most);
    if (!wide && !this.free) {
      toast('More neighbours than this page can hold; open the case to look around.');
      return;
    }
    this.moving = true;
    this.busy.hidden = false;
    this.busy.textContent = 'Loading more slices …';
    try {
      await this.window(wide || around, Math.max(around.start[this.axis], this.viewer.slice));
    } catch (error) {
      complain(error);
    } finally {
      this.moving = false;
      this.busy.hidden = true;
    }
  }

  showSlice() {
    const { slice } = this.viewer;
    this.slider.value = slice;
    const total = this.task.item.shape[this.axis];
    this.sliceText.textContent = `${slice + 1} of ${total}`;
    this.slider.setAttribute('aria-valuetext', `${slice + 1} of ${total}`);
    const inside = this.painter.sliceAllowed();
    this.stage.say(inside ? '' : 'Neighbour slice, for orientation only');
    this.stage.follow();
    this.marks();
  }

  marks() {
    if (!this.free) return;
    const { looked } = this.painter;
    const here = looked.has(this.viewer.slice) ? 'this slice counts' : 'this slice does not count yet';
    this.stage.say(`${looked.size} slices looked at; ${here}`);
  }

  hover(position) {
    const { viewer } = this;
    if (!position || !viewer.isInside(position)) {
      this.readout.textContent = '';
      return;
    }
    this.readout.textContent = this.describe(position);
  }

  describe(position) {
    const value = this.viewer.labels[this.viewer.grid.index(position)];
    const name = this.app.server.labels.find((label) => label.value === value)?.name || 'background';
    const grey = this.viewer.intensity(position);
    const shown = Number.isInteger(grey) ? grey : grey.toPrecision(4);
    return `voxel ${this.viewer.grid.toFile(position).join(', ')} · value ${shown} · ${name}`;
  }

  colour() {
    if (this.painter.tool === 'eraser') return '#ffffff';
    const chosen = this.app.server.labels.find((label) => label.value === this.painter.value);
    return chosen?.colour || '#ffffff';
  }

  resize(step) {
    const next = this.painter.size + step * (this.painter.size >= 10 ? 2 : 1);
    this.painter.size = Math.min(Math.max(next, 1), 60);
    this.panel.show(this.painter);
    this.stage.draw();
  }

  shiftWindow(dx, dy) {
    const [low, high] = this.viewer.range;
    const width = (high - low) * (1 + dx / 200);
    const level = (low + high) / 2 - (dy / 200) * (high - low);
    this.viewer.setRange(level - width / 2, level + width / 2);
  }

  /** Do what a key or a button asks for; false leaves the key to the browser. */
  act(action, key, event) {
    if (document.querySelector('dialog[open]') || !this.viewer.grid) return false;
    if (action.startsWith('tool:')) {
      this.painter.tool = action.slice(5);
      if (this.painter.tool === 'threshold' && !this.painter.range) this.rangeAtCursor();
      this.afterControl(event);
      return true;
    }
    const run = ACTIONS[action];
    if (!run) return false;
    const result = run(this, key, event);
    if (result?.catch) result.catch(complain);
    this.afterControl(event);
    return true;
  }

  afterControl(event) {
    this.panel.show(this.painter);
    this.stage.draw();
    if (!event && document.activeElement?.tagName === 'BUTTON' && !this.keyboardFocus()) {
      this.stage.node.focus({ preventScroll: true });
    }
  }

  /** True when the focus was moved by keyboard: then it stays where it is. */
  keyboardFocus() {
    return document.activeElement.matches(':focus-visible');
  }

  paintAtCursor() {
    this.stage.byKey = true;
    this.painter.press(this.stage.cursor);
    this.painter.release();
  }

  moveCursor(key, far) {
    this.stage.step(key, far);
    if (!this.penDown) return;
    this.painter.drag(this.stage.cursor);
  }

  togglePen() {
    this.stage.byKey = true;
    this.penDown = !this.penDown && this.painter.tool !== 'fill' && this.painter.sliceAllowed();
    if (this.penDown) this.painter.press(this.stage.cursor);
    else this.painter.release();
    announce(this.penDown ? 'Pen down' : 'Pen up');
  }

  async toggleUncertainty() {
    this.doubt = !this.doubt;
    const { item } = this.task;
    const file = this.doubt ? await uncertainty(item, this.viewer.grid.box()) : null;
    if (this.doubt && !file) {
      this.doubt = false;
      toast('No uncertainty yet: it comes with the first model.');
    }
    await this.viewer.setOverlay(file);
  }

  nextWindow() {
    const windows = [['as it came', ...this.range]];
    if (this.range[0] < -100) windows.push(...CT_WINDOWS);
    this.windowNumber = ((this.windowNumber || 0) + 1) % windows.length;
    const [name, low, high] = windows[this.windowNumber];
    this.viewer.setRange(low, high);
    toast(`Grey values: ${name}, ${Math.round(low)} to ${Math.round(high)}`, { seconds: 3 });
  }

  rangeAtCursor() {
    const at = this.stage.pointer && !this.stage.byKey ? this.stage.pointer : this.stage.cursor;
    if (!this.viewer.isInside(at)) return;
    const value = this.viewer.intensity(at);
    const [low, high] = this.range;
    this.painter.range = [value - (high - low) / 10, value + (high - low) / 10];
    this.panel.show(this.painter);
  }

  /** Whether somebody drew in a slice in this sitting. */
  touched(slice) {
    if (this.free) return this.painter.looked.has(slice);
    return this.painter.patches.some((patch) =>
      patch.start[this.axis] <= slice && slice < patch.stop[this.axis]);
  }

  reasons() {
    const choose = (reason) => {
      this.skipDialog.close();
      this.finish('skip', { reason }).catch(complain);
    };
    return el('dialog', { class: 'reasons', 'aria-label': 'Why skip?', onkeydown: (event) => {
      const at = Number(event.key) - 1;
      if (REASONS[at]) {
        event.preventDefault();
        choose(REASONS[at][0]);
      }
    } },
    el('h2', {}, 'Why skip?'),
    REASONS.map(([reason, words], at) => el('button', { type: 'button', onclick: () => choose(reason) },
      el('span', {}, words), el('kbd', {}, String(at + 1)))),
    el('button', { type: 'button', class: 'quiet', onclick: () => this.skipDialog.close() },
      el('span', {}, 'Go on'), el('kbd', {}, 'Esc')));
  }

  /** Submit what was drawn. */
  async submit() {
    this.painter.release();
    this.penDown = false;
    if (this.free) await this.submitFree();
    else await this.finish('answer', { patches: this.painter.submission() });
  }

  parameters() {
    this.clock.touch();
    return {
      author: this.app.author, seconds: Math.max(0.1, Math.round(this.clock.seconds * 10) / 10), tool: TOOL,
      proposal: this.proposed,
    };
  }

  /** Answer, leave empty, or skip the query; the drawing stays if the server cannot be reached. */
  async finish(verb, json) {
    if (!this.task.query || this.finishing) return;
    this.finishing = true;
    await this.autosave.pause();
    try {
      const query = this.parameters();
      const path = `queries/${this.task.query.id}/${verb}`;
      const reply = await ask(path, { method: 'POST', query, json: json || undefined });
      this.autosave.close(true);
      report(this, verb, reply);
      this.leave({ next: true, complete: reply?.round_complete });
    } catch (error) {
      this.autosave.goOn();
      throw error;
    } finally {
      this.finishing = false;
    }
  }

  async submitFree() {
    const patches = this.painter.submission();
    if (!patches.length) {
      toast('Nothing to submit: draw in a slice, or mark it as looked at (M).');
      return;
    }
    const path = `cases/${encodeURIComponent(this.task.item.id)}/annotation`;
    await this.autosave.pause();
    try {
      const reply = await ask(path, {
        method: 'PUT', query: { ...this.parameters(), looked_at: 'marked' },
        headers: { 'If-Match': `"${this.etag}"` }, json: { patches },
      });
      this.autosave.close(true);
      report(this, 'answer', reply);
      this.leave({ next: false });
    } catch (error) {
      this.autosave.goOn();
      if (error.status !== 409) throw error;
      this.etag = null; // what came in between is loaded below the drawing
      await this.window(this.viewer.grid.box(), this.viewer.slice);
      toast('Somebody else delivered labels of this case meanwhile. They are shown below your '
        + 'drawing now; look, then submit again.', { kind: 'error' });
    }
  }
}
