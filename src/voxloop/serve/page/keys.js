// One table of keys: what `?` shows is what the keys do.

/** Keys of the annotation view: group, keys, what they do, name of the action. */
export const KEYS = [
  ['Draw', ['b'], 'Brush', 'tool:brush'],
  ['Draw', ['e'], 'Eraser', 'tool:eraser'],
  ['Draw', ['t'], 'Threshold brush: paints only within the range of values', 'tool:threshold'],
  ['Draw', ['f'], 'Fill a closed outline', 'tool:fill'],
  ['Draw', ['l'], 'Look: drag moves the image, nothing is drawn', 'tool:look'],
  ['Draw', ['1', '2', '3', '4', '5', '6', '7', '8', '9'], 'Choose a label', 'label'],
  ['Draw', ['['], 'Smaller brush', 'smaller'],
  ['Draw', [']'], 'Larger brush', 'larger'],
  ['Draw', ['c'], 'Take the range of values around the cursor', 'range'],
  ['Draw', ['g'], 'Smart fill between the drawn slices on both sides', 'smartfill'],
  ['Draw', ['v'], 'The same, as the model proposes it', 'modelfill'],
  ['Draw', ['r'], 'Put the proposal back on this slice', 'propose'],
  ['Draw', ['Delete'], 'Clear this slice', 'clear'],
  ['Draw', ['Ctrl+z', 'z'], 'Undo', 'undo'],
  ['Draw', ['Ctrl+Shift+Z', 'Ctrl+y', 'y'], 'Redo', 'redo'],
  ['Draw by keyboard', ['ArrowLeft', 'ArrowRight', 'ArrowUp', 'ArrowDown'],
    'Move the cursor by a voxel; with Shift by ten', 'move'],
  ['Draw by keyboard', [' '], 'Use the tool at the cursor', 'paint'],
  ['Draw by keyboard', ['p'], 'Pen down or up: the cursor draws as it moves', 'pen'],
  ['Draw by keyboard', ['i'], 'Say where the cursor is and what lies there', 'where'],
  ['Look', ['PageUp', '.'], 'Next slice', 'next'],
  ['Look', ['PageDown', ','], 'Previous slice', 'previous'],
  ['Look', ['a'], 'Back to the asked slice', 'asked'],
  ['Look', ['+', '='], 'Enlarge', 'in'],
  ['Look', ['-'], 'Reduce', 'out'],
  ['Look', ['Home'], 'Fit the slice into the view', 'fit'],
  ['Look', ['o'], 'Show or hide the labels', 'labels'],
  ['Look', ['u'], 'Show or hide the uncertainty', 'uncertainty'],
  ['Look', ['w'], 'Next range of grey values', 'window'],
  ['Answer', ['Enter'], 'Submit and take the next one', 'submit'],
  ['Answer', ['n'], 'Nothing here: none of the labels is in view', 'nothing'],
  ['Answer', ['x'], 'Skip, then choose the reason', 'skip'],
  ['Answer', ['Shift+1', 'Shift+2', 'Shift+3', 'Shift+4', 'Shift+5'],
    'Skip at once: unclear, poor image, not in view, takes too long, other', 'skipfor'],
  ['Answer', ['m'], 'Mark this slice as looked at, or not (labelling without a query)', 'mark'],
  ['Anywhere', ['?'], 'This list', 'help'],
  ['Anywhere', ['Escape'], 'Break off a stroke; close a window', 'escape'],
];

const NAMES = {
  ' ': 'Space', ArrowLeft: '←', ArrowRight: '→', ArrowUp: '↑', ArrowDown: '↓', Escape: 'Esc', Delete: 'Del',
  PageUp: 'Page up', PageDown: 'Page down',
};

/** A key as people read it. */
export function keyName(key) {
  return key.split('+').filter(Boolean).map((part) => NAMES[part] || (part.length === 1
    ? part.toUpperCase() : part)).join(' + ') || key;
}

/** How a key press is written in the table. */
export function pressed(event) {
  const control = event.ctrlKey || event.metaKey;
  if (event.shiftKey && /^Digit[1-9]$/.test(event.code)) return `Shift+${event.code.slice(5)}`;
  if (control) return `Ctrl+${event.shiftKey ? 'Shift+' : ''}${event.key}`;
  return event.key.length === 1 && event.key !== '?' ? event.key.toLowerCase() : event.key;
}

const TABLE = new Map(KEYS.flatMap(([, keys, , action]) => keys.map((key) => [key, action])));

/** Whether single keys act at all; people who dictate switch them off. */
export const single = {
  get on() {
    return localStorage.getItem('voxloop/keys') !== 'off';
  },
  set on(value) {
    localStorage.setItem('voxloop/keys', value ? 'on' : 'off');
  },
};

function isTyping(target) {
  return target.closest?.('input, select, textarea, dialog') !== null
    && target.closest?.('input, select, textarea, dialog') !== undefined;
}

/** Call `act(action, key, event)` for keys of the table; returns what stops that. */
export function watchKeys(act) {
  const handler = (event) => {
    const key = pressed(event);
    const action = TABLE.get(key);
    if (!action || event.altKey || isTyping(event.target)) return;
    const onControl = event.target.closest?.('button, a, summary');
    if (onControl && ['Enter', ' '].includes(event.key)) return; // it belongs to the button
    if (!single.on && !key.startsWith('Ctrl+') && !['?', 'Escape'].includes(key)) return;
    if (act(action, key, event) !== false) event.preventDefault();
  };
  window.addEventListener('keydown', handler);
  return () => window.removeEventListener('keydown', handler);
}
