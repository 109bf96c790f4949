// Queries in words.

import { duration } from './dom.js';

/** Why a query may be skipped: the server's word, and ours. */
export const REASONS = [
  ['unclear', 'Unclear where the border is'],
  ['poor_image', 'Poor image'],
  ['not_in_view', 'Not fully in view'],
  ['too_long', 'Takes too long'],
  ['other', 'Other'],
];

/** What a query asks for, in words. */
export function asked(query, item) {
  const { start, stop } = query.region;
  if (query.axis !== null && query.axis !== undefined) {
    const [first, last] = [start[query.axis] + 1, stop[query.axis]];
    const across = ['first', 'second', 'third'][query.axis];
    const slices = first === last ? `slice ${first}` : `slices ${first} to ${last}`;
    return `${slices} of ${item ? item.shape[query.axis] : '?'}, across the ${across} axis`;
  }
  return `box ${start.join(', ')} to ${stop.map((last) => last - 1).join(', ')}`;
}

/** What a query is expected to cost. */
export function cost(query) {
  if (query.cost === null || query.cost === undefined) return null;
  if (query.unit === 'regions') return null; // no time was logged yet
  return query.unit === 'seconds' || query.unit === 's'
    ? `about ${duration(query.cost)}` : `${Math.round(query.cost)} ${query.unit}`;
}
