// The dark area with the image: pointer, wheel, cursor, and what is drawn over NiiVue's picture.

import { el } from './dom.js';

/** Canvas of NiiVue, canvas for the cursor above it, and the pointer that draws. */
export class Stage {
  constructor() {
    this.picture = el('canvas', { class: 'picture', 'aria-hidden': 'true' });
    this.over = el('canvas', { class: 'over', 'aria-hidden': 'true' });
    this.note = el('p', { class: 'note', hidden: true });
    this.node = el('div', {
      class: 'stage', tabindex: '0', role: 'application', 'aria-roledescription': 'slice',
      'aria-label': 'Image slice. Arrow keys move the cursor, Space draws, question mark lists all keys.',
    }, this.picture, this.over, this.note);
    this.cursor = null; // display position of the keyboard's cursor
    this.pointer = null; // display position under the mouse
    this.byKey = false;
    this.held = null;
  }

  /** Connect to a viewer and a painter once both exist. */
  connect(viewer, painter, hooks) {
    Object.assign(this, { viewer, painter, hooks });
    this.cursor = viewer.grid.shown.map((count) => Math.floor(count / 2));
    viewer.onDrawn = () => this.draw();
    if (this.connected) return;
    this.connected = true;
    const on = (name, handler, options) => this.node.addEventListener(name, handler, options);
    on('pointerdown', (event) => this.down(event));
    on('pointermove', (event) => this.move(event));
    on('pointerup', (event) => this.up(event));
    on('pointercancel', () => { this.painter.cancel(); this.held = null; });
    on('pointerleave', () => { if (!this.held) { this.pointer = null; this.draw(); } });
    on('wheel', (event) => this.wheel(event), { passive: false });
    on('contextmenu', (event) => event.preventDefault());
    on('focus', () => this.draw());
    on('blur', () => this.draw());
    new ResizeObserver(() => this.draw()).observe(this.node);
  }

  /** Nothing is shown until the next task is connected. */
  leave() {
    this.painter?.cancel();
    this.held = null;
    this.pointer = null;
    this.byKey = false;
    this.say('');
  }

  where(event) {
    const rect = this.picture.getBoundingClientRect();
    return this.viewer.positionAt(event.clientX - rect.left, event.clientY - rect.top);
  }

  down(event) {
    if (this.held || !this.viewer.grid) return;
    this.node.focus({ preventScroll: true });
    this.node.setPointerCapture(event.pointerId);
    this.byKey = false;
    const pans = event.button === 1 || (event.button === 0 && this.painter.tool === 'look');
    this.held = { kind: 'draw', x: event.clientX, y: event.clientY };
    if (pans) this.held.kind = 'pan';
    else if (event.button === 2) this.held.kind = 'window';
    else if (event.button === 0) this.painter.press(this.where(event));
    event.preventDefault();
  }

  move(event) {
    if (!this.viewer.grid) return;
    this.pointer = this.where(event);
    this.hooks.hover(this.pointer);
    if (this.held?.kind === 'draw') {
      const trail = event.getCoalescedEvents?.() || [];
      for (const each of trail.length ? trail : [event]) this.painter.drag(this.where(each));
    } else if (this.held) {
      const [dx, dy] = [event.clientX - this.held.x, event.clientY - this.held.y];
      [this.held.x, this.held.y] = [event.clientX, event.clientY];
      if (this.held.kind === 'pan') this.viewer.pan(dx, dy);
      else this.hooks.window(dx, dy);
    }
    this.draw();
  }

  up(event) {
    const kind = this.held?.kind;
    this.held = null;
    if (kind === 'draw') this.painter.release();
    if (this.pointer && kind === 'draw' && this.viewer.isInside(this.where(event))) {
      this.cursor = this.where(event);
    }
  }

  wheel(event) {
    event.preventDefault();
    const step = Math.sign(event.deltaY);
    if (!step) return;
    if (event.ctrlKey || event.altKey) {
      this.viewer.zoom(step < 0 ? 1.15 : 1 / 1.15, this.where(event));
    } else if (event.shiftKey) {
      this.hooks.resize(-step);
    } else {
      this.hooks.scroll(-step);
    }
  }

  /** Keep the cursor on the shown slice. */
  follow() {
    this.cursor[this.viewer.across] = this.viewer.depth();
    this.draw();
  }

  /** Move the cursor in screen directions. */
  step(key, far) {
    const frame = this.viewer.frameOfSlice();
    if (!frame) return;
    const [u, v] = this.viewer.plane;
    const amount = far ? 10 : 1;
    const signs = [Math.sign(frame.perU[0]), Math.sign(frame.perV[1])];
    const change = { ArrowRight: [u, signs[0]], ArrowLeft: [u, -signs[0]],
      ArrowDown: [v, signs[1]], ArrowUp: [v, -signs[1]] }[key];
    const next = [...this.cursor];
    next[this.viewer.across] = this.viewer.depth();
    next[change[0]] += change[1] * amount;
    next[change[0]] = Math.min(Math.max(next[change[0]], 0), this.viewer.grid.shown[change[0]] - 1);
    this.cursor = next;
    this.byKey = true;
    this.hooks.hover(next);
    this.draw();
  }

  /** A message over the image; nothing hides it. */
  say(text) {
    this.note.textContent = text || '';
    this.note.hidden = !text;
  }

  draw() {
    const { over, viewer } = this;
    const rect = this.node.getBoundingClientRect();
    const ratio = window.devicePixelRatio || 1;
    const [width, height] = [Math.round(rect.width * ratio), Math.round(rect.height * ratio)];
    if (over.width !== width || over.height !== height) [over.width, over.height] = [width, height];
    const context = over.getContext('2d');
    context.clearRect(0, 0, width, height);
    if (!viewer?.grid) return;
    const frame = viewer.frameOfSlice();
    if (!frame) return;
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    this.drawRegion(context, frame);
    this.drawSides(context, rect);
    const at = this.byKey ? this.cursor : this.pointer;
    if (at && viewer.isInside(at)) this.drawCursor(context, frame, at);
    context.setTransform(1, 0, 0, 1, 0, 0);
  }

  /** Frame of a box that is asked for within the slice. */
  drawRegion(context, frame) {
    const { grid, plane, across } = this.viewer;
    if (!this.painter.sliceAllowed()) return;
    const { region } = this.painter;
    const ends = [grid.toShown(region.start), grid.toShown(region.stop.map((last) => last - 1))];
    const span = plane.map((d) => [Math.min(ends[0][d], ends[1][d]), Math.max(ends[0][d], ends[1][d]) + 1]);
    if (span.every(([low, high], which) => low <= 0 && high >= grid.shown[plane[which]])) return;
    if (across < 0) return;
    const corner = (u, v) => frame.origin.map((value, which) =>
      value + u * frame.perU[which] + v * frame.perV[which]);
    const [a, b] = [corner(span[0][0], span[1][0]), corner(span[0][1], span[1][1])];
    context.setLineDash([6, 4]);
    context.lineWidth = 1.5;
    context.strokeStyle = '#f0e442';
    context.strokeRect(Math.min(a[0], b[0]), Math.min(a[1], b[1]), Math.abs(b[0] - a[0]), Math.abs(b[1] - a[1]));
    context.setLineDash([]);
  }

  drawSides(context, { width, height }) {
    const { left, right, top, bottom } = this.viewer.sides();
    const edge = 12;
    context.font = '600 15px system-ui, "Noto Sans", "DejaVu Sans", sans-serif';
    [context.textAlign, context.textBaseline] = ['center', 'middle'];
    [context.lineWidth, context.lineJoin] = [4, 'round'];
    [context.strokeStyle, context.fillStyle] = ['#12151a', '#f4f6f8'];
    for (const [letter, x, y] of [[left, edge, height / 2], [right, width - edge, height / 2],
      [top, width / 2, edge], [bottom, width / 2, height - edge]]) {
      context.strokeText(letter, x, y);
      context.fillText(letter, x, y);
    }
  }

  drawCursor(context, frame, at) {
    const { viewer, painter } = this;
    const [x, y] = viewer.pointOf(at);
    const finest = Math.min(...viewer.spacing);
    const scale = Math.abs(frame.perU[0]) / viewer.spacing[0];
    const drags = ['brush', 'eraser', 'threshold'].includes(painter.tool);
    const radius = drags ? Math.max(2, (painter.size * finest * scale) / 2) : 5;
    for (const [colour, wide] of [['#000000aa', 3], [this.hooks.colour(), 1.5]]) {
      context.lineWidth = wide;
      context.strokeStyle = colour;
      context.beginPath();
      context.arc(x, y, radius, 0, 2 * Math.PI);
      if (this.byKey || !drags) {
        for (const [dx, dy] of [[1, 0], [-1, 0], [0, 1], [0, -1]]) {
          context.moveTo(x + dx * (radius + 3), y + dy * (radius + 3));
          context.lineTo(x + dx * (radius + 9), y + dy * (radius + 9));
        }
      }
      context.stroke();
    }
  }
}
