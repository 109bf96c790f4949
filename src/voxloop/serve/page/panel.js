// The controls beside the image: tools, labels, sizes, ranges. Every one has its key.

import { el } from './dom.js';
import { TOOLS } from './tools.js';
import { keyName } from './keys.js';

function hint(key) {
  return el('kbd', { 'aria-hidden': 'true' }, keyName(key));
}

function button(name, key, run, extra = {}) {
  return el('button', { type: 'button', 'aria-keyshortcuts': key, onclick: run, ...extra },
    el('span', {}, name), hint(key));
}

/** Tools, labels and display settings; `act(action, key)` does what the keys do. */
export class Panel {
  constructor(labels, act, free) {
    this.labels = labels;
    this.tools = new Map(TOOLS.map((tool) => [tool.id,
      button(tool.name, tool.key, () => act(`tool:${tool.id}`), { 'aria-pressed': 'false' })]));
    this.chips = new Map(labels.map((label, at) => [label.value, el('button', {
      type: 'button', class: 'chip', 'aria-pressed': 'false',
      'aria-keyshortcuts': at < 9 ? String(at + 1) : null,
      onclick: () => act('label', String(at + 1)),
    }, el('span', { class: 'swatch', style: { background: label.colour } }),
    el('span', {}, label.name), at < 9 ? hint(String(at + 1)) : null)]));
    this.size = el('input', { type: 'range', min: '1', max: '60', id: 'size',
      oninput: () => act('size', this.size.value) });
    this.sizeText = el('output', { for: 'size' });
    this.low = el('input', { type: 'number', id: 'low', step: 'any', onchange: () => act('setrange') });
    this.high = el('input', { type: 'number', id: 'high', step: 'any', onchange: () => act('setrange') });
    this.opacity = el('input', { type: 'range', min: '0', max: '100', value: '40', id: 'opacity',
      oninput: () => act('opacity', this.opacity.value) });
    this.range = el('div', { class: 'pair' },
      el('label', { for: 'low' }, 'from', this.low), el('label', { for: 'high' }, 'to', this.high),
      button('At cursor', 'c', () => act('range')));
    this.thresholds = el('fieldset', {}, el('legend', {}, 'Paint values'), this.range);
    this.node = el('div', { class: 'panel' },
      el('fieldset', { class: 'tools' }, el('legend', {}, 'Tool'), [...this.tools.values()]),
      el('fieldset', { class: 'labels' }, el('legend', {}, 'Label'), [...this.chips.values()]),
      el('fieldset', {}, el('legend', {}, 'Brush'),
        el('label', { for: 'size' }, 'Width ', this.sizeText), this.size),
      this.thresholds,
      el('fieldset', { class: 'steps' }, el('legend', {}, 'Drawing'),
        button('Undo', 'z', () => act('undo')), button('Redo', 'y', () => act('redo')),
        button('Put the proposal back', 'r', () => act('propose'), { class: 'broad' }),
        button('Smart fill', 'g', () => act('smartfill'), { class: 'broad' }),
        button('Fill by the model', 'v', () => act('modelfill'), { class: 'broad' }),
        button('Clear slice', 'Delete', () => act('clear'), { class: 'broad' }),
        free ? button('Slice looked at', 'm', () => act('mark'), { class: 'broad' }) : null),
      el('fieldset', { class: 'steps' }, el('legend', {}, 'View'),
        el('label', { for: 'opacity' }, 'Opacity ', this.opacity),
        button('Uncertainty', 'u', () => act('uncertainty'), { class: 'broad' }),
        button('Greys', 'w', () => act('window')),
        button('Fit', 'Home', () => act('fit'))));
  }

  /** Bring the controls in line with the painter. */
  show(painter) {
    for (const [id, node] of this.tools) node.setAttribute('aria-pressed', id === painter.tool);
    for (const [value, node] of this.chips) node.setAttribute('aria-pressed', value === painter.value);
    this.size.value = painter.size;
    this.sizeText.textContent = String(painter.size);
    this.thresholds.hidden = painter.tool !== 'threshold';
    if (painter.range) [this.low.value, this.high.value] = painter.range.map((v) => +v.toFixed(2));
  }
}
