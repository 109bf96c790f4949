// What keys and buttons do.

import { announce } from './dom.js';
import { smartFill } from './smartfill.js';
import { toast } from './status.js';
import { REASONS } from './words.js';

/** What the keys and buttons do to an annotation view. */
export const ACTIONS = {
  label: (view, key) => {
    const label = view.app.server.labels[Number(key) - 1];
    if (label) view.painter.value = label.value;
    if (view.painter.tool === 'eraser') view.painter.tool = 'brush';
  },
  smaller: (view) => view.resize(-1),
  larger: (view) => view.resize(1),
  size: (view, value) => { view.painter.size = Number(value); },
  range: (view) => view.rangeAtCursor(),
  setrange: (view) => {
    const [low, high] = [view.panel.low.value, view.panel.high.value].map(Number);
    view.painter.range = [Math.min(low, high), Math.max(low, high)];
  },
  opacity: (view, value) => view.viewer.setOpacity(Number(value) / 100),
  smartfill: (view) => smartFill(view),
  modelfill: (view) => smartFill(view, 'model'),
  propose: (view) => {
    if (!view.painter.proposeSlice()) toast('Nothing to change: no proposal, or it is there already.');
  },
  clear: (view) => view.painter.clearSlice(),
  undo: (view) => view.painter.step(true, (box) => view.reach(box)).then(() => view.showSlice()),
  redo: (view) => view.painter.step(false, (box) => view.reach(box)).then(() => view.showSlice()),
  move: (view, key, event) => view.moveCursor(key, event?.shiftKey),
  paint: (view) => view.paintAtCursor(),
  pen: (view) => view.togglePen(),
  where: (view) => announce(view.describe(view.stage.cursor)),
  next: (view) => view.go(view.viewer.slice + 1),
  previous: (view) => view.go(view.viewer.slice - 1),
  asked: (view) => view.go(view.home),
  in: (view) => view.viewer.zoom(1.25, view.stage.cursor),
  out: (view) => view.viewer.zoom(0.8, view.stage.cursor),
  fit: (view) => view.viewer.resetView(),
  labels: (view) => {
    view.hidden = !view.hidden;
    view.viewer.setOpacity(view.hidden ? 0 : Number(view.panel.opacity.value) / 100);
  },
  uncertainty: (view) => view.toggleUncertainty(),
  window: (view) => view.nextWindow(),
  submit: (view) => view.submit(),
  nothing: (view) => view.finish('nothing'),
  skip: (view) => { if (view.task.query) view.skipDialog.showModal(); },
  skipfor: (view, key) => view.finish('skip', { reason: REASONS[Number(key.at(-1)) - 1][0] }),
  mark: (view) => { if (view.free) view.painter.toggleLooked(); view.marks(); },
  help: (view) => view.app.help(),
  escape: (view) => { view.penDown = false; view.painter.cancel(); },
};
