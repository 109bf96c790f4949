// A learning curve with its interval, as SVG; its numbers stand in a table beside it.

import { el, score, svg, table } from './dom.js';

const WIDTH = 640;
const HEIGHT = 300;
const EDGE = { left: 52, right: 16, top: 16, bottom: 44 };

function scale(low, high, from, to) {
  const span = high - low || 1;
  return (value) => from + ((value - low) / span) * (to - from);
}

function ticks(low, high, count) {
  const rough = (high - low || 1) / count;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((factor) => factor * power).find((value) => value >= rough);
  const found = [];
  for (let at = Math.ceil(low / step) * step; at <= high + 1e-9; at += step) found.push(at);
  return found;
}

/**
 * Points {x, y, low?, high?}; `ahead` is the forecast, drawn dashed from the last point with its
 * interval as a bar.
 */
export function learningCurve(points, ahead, names) {
  const all = [...points, ...(ahead ? [ahead] : [])];
  const ys = all.flatMap((p) => [p.y, p.low ?? p.y, p.high ?? p.y]);
  const low = Math.max(0, Math.min(...ys) - 0.05);
  const high = Math.min(1, Math.max(...ys) + 0.05);
  const right = Math.max(...all.map((p) => p.x));
  const x = scale(0, right * 1.05 || 1, EDGE.left, WIDTH - EDGE.right);
  const y = scale(low, high, HEIGHT - EDGE.bottom, EDGE.top);
  const text = (words, px, py, anchor) => svg('text', { x: px, y: py, 'text-anchor': anchor }, words);
  const bar = (p, kind) => (p.low === undefined || p.low === null ? null : svg('line', {
    class: `bar ${kind}`, x1: x(p.x), x2: x(p.x), y1: y(p.low), y2: y(p.high) }));
  const path = (list) => list.map((p, at) => `${at ? 'L' : 'M'}${x(p.x)} ${y(p.y)}`).join(' ');
  const last = points.at(-1);
  const picture = svg('svg', { class: 'chart', viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: 'img',
    'aria-label': `${names.y} against ${names.x}; the table below has the numbers` },
  ticks(low, high, 5).map((value) => [
    svg('line', { class: 'grid', x1: EDGE.left, x2: WIDTH - EDGE.right, y1: y(value), y2: y(value) }),
    text(value.toFixed(2), EDGE.left - 8, y(value) + 4, 'end')]).flat(),
  ticks(0, right * 1.05 || 1, 6).map((value) =>
    text(String(Math.round(value)), x(value), HEIGHT - EDGE.bottom + 18, 'middle')),
  text(names.x, (EDGE.left + WIDTH - EDGE.right) / 2, HEIGHT - 6, 'middle'),
  points.map((p) => bar(p, 'measured')),
  svg('path', { class: 'curve', d: path(points) }),
  ahead && last ? svg('path', { class: 'curve ahead', d: path([last, ahead]) }) : null,
  ahead ? bar(ahead, 'ahead') : null,
  points.map((p) => svg('circle', { class: 'point', cx: x(p.x), cy: y(p.y), r: 4 })),
  ahead ? svg('circle', { class: 'point ahead', cx: x(ahead.x), cy: y(ahead.y), r: 4 }) : null);
  const rows = [...points.map((p) => ({ ...p, kind: 'measured' })),
    ...(ahead ? [{ ...ahead, kind: 'forecast' }] : [])];
  const interval = (p) => (p.low === undefined || p.low === null ? '–' : `${score(p.low)} to ${score(p.high)}`);
  return el('figure', {}, picture, table(`${names.y} by ${names.x}`, [
    [names.x, (p) => Math.round(p.x), true], [names.y, (p) => score(p.y), true],
    ['95 % interval', interval, true], ['', (p) => p.kind]], rows));
}
