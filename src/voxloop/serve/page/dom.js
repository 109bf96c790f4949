// Elements without markup strings: text never becomes HTML.

/** Make an element; attributes named on* are listeners, children are nodes, strings or null. */
export function el(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith('on')) node.addEventListener(name.slice(2), value);
    else if (name === 'style') Object.assign(node.style, value);
    else if (name === 'value') node.value = value;
    else node.setAttribute(name, value === true ? '' : value);
  }
  node.append(...children.flat().filter((child) => child !== null && child !== undefined));
  return node;
}

/** As `el`, in the namespace of SVG. */
export function svg(tag, attributes = {}, ...children) {
  const node = document.createElementNS('http://www.w3.org/2000/svg', tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value !== null && value !== undefined) node.setAttribute(name, value);
  }
  node.append(...children.flat().filter((child) => child !== null && child !== undefined));
  return node;
}

/** A table with a caption for screen readers; `columns` are [heading, row => cell, numeric]. */
export function table(caption, columns, rows) {
  return el('div', { class: 'table', tabindex: '0', role: 'region', 'aria-label': caption },
    el('table', {},
      el('caption', { class: 'quiet' }, caption),
      el('thead', {}, el('tr', {},
        columns.map(([heading, , numeric]) =>
          el('th', { scope: 'col', class: numeric ? 'number' : null }, heading)))),
      el('tbody', {}, rows.map((row) => el('tr', {},
        columns.map(([, cell, numeric]) =>
          el('td', { class: numeric ? 'number' : null }, cell(row))))))));
}

/** Pairs of a name and what it is. */
export function facts(pairs) {
  return el('dl', { class: 'facts' }, pairs
    .filter(([, value]) => value !== null && value !== undefined && value !== '')
    .map(([name, value]) => el('div', {}, el('dt', {}, name), el('dd', {}, value))));
}

/** Seconds in words: "40 s", "6 min", "1.5 h". */
export function duration(seconds) {
  if (seconds === null || seconds === undefined || !Number.isFinite(seconds)) return 'unknown';
  if (seconds < 90) return `${Math.round(seconds)} s`;
  if (seconds < 5400) return `${Math.round(seconds / 60)} min`;
  return `${(seconds / 3600).toFixed(1)} h`;
}

/** A time stamp as this browser's user reads it. */
export function when(stamp) {
  const date = new Date(stamp);
  return Number.isNaN(date.getTime()) ? String(stamp ?? '')
    : date.toLocaleString(undefined, { dateStyle: 'short', timeStyle: 'short' });
}

/** A share or a score, to three digits, or a dash. */
export function score(value) {
  return typeof value === 'number' && Number.isFinite(value) ? value.toFixed(3) : '–';
}

/** Say something to screen readers without moving the focus. */
export function announce(text) {
  const region = document.getElementById('announcer');
  region.textContent = '';
  requestAnimationFrame(() => { region.textContent = text; });
}
