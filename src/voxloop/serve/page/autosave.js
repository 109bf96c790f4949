// Every stroke goes to the server at once, as the part that changed; what could not be sent waits,
// also in this browser's storage, and is sent again.

import { ask, askIfAny } from './api.js';

const RETRY_S = [1, 2, 4, 8, 15, 30];

function stored(key) {
  try {
    return JSON.parse(localStorage.getItem(key) || '[]');
  } catch {
    return [];
  }
}

/** The draft of one author for one query, or for one case as a whole. */
export class Autosave {
  /** `states`: called with "saved", "saving", "offline", "conflict" or "refused", and a text. */
  constructor({ caseId, query, author, base, clock, place, states }) {
    this.path = `cases/${encodeURIComponent(caseId)}/draft`;
    this.query = { author, query };
    this.base = base;
    this.clock = clock;
    this.states = states;
    this.key = ['voxloop', place, caseId, query || 'free', author].join('/');
    this.count = 0;
    this.waiting = [];
    this.failures = 0;
    this.sending = null;
    this.timer = 0;
    this.closed = false;
    this.again = () => this.send();
    window.addEventListener('online', this.again);
  }

  /** Patches of an earlier sitting, oldest first; those that never left this browser come last. */
  async restore() {
    const draft = await askIfAny(this.path, { query: this.query });
    this.count = draft?.count || 0;
    this.clock.seconds += draft?.seconds || 0;
    const unsent = stored(this.key);
    unsent.forEach((patch) => this.waiting.push(patch));
    if (unsent.length) this.send();
    return [...(draft?.patches || []), ...unsent];
  }

  add(patch) {
    this.waiting.push(patch);
    this.keep();
    this.send();
  }

  keep() {
    try {
      if (this.waiting.length) localStorage.setItem(this.key, JSON.stringify(this.waiting));
      else localStorage.removeItem(this.key);
    } catch {
      // storage is full or forbidden; the strokes still wait in memory
    }
  }

  /** Send what waits; resolves when this attempt is over. */
  send() {
    clearTimeout(this.timer);
    if (!this.sending && this.waiting.length && !this.closed) {
      this.sending = this.attempt().finally(() => { this.sending = null; });
    }
    return this.sending || Promise.resolve();
  }

  async attempt() {
    while (this.waiting.length && !this.closed) {
      const patches = [...this.waiting];
      this.states('saving');
      try {
        const json = {
          patches, base: this.base, seconds: Math.round(this.clock.seconds), after: this.count,
        };
        const reply = await ask(this.path, { method: 'PUT', query: this.query, json });
        this.count = reply.count;
        this.waiting.splice(0, patches.length);
        this.failures = 0;
        this.keep();
      } catch (error) {
        if (error.status === 409 && await this.arrived(patches)) continue;
        this.fail(error);
        return;
      }
    }
    if (!this.waiting.length) this.states('saved');
  }

  /** True if the server has these after all: only its answer was lost on the way. */
  async arrived(patches) {
    const same = (patch) => JSON.stringify([patch.start, patch.stop, patch.rle]);
    const draft = await askIfAny(this.path, { query: this.query }).catch(() => null);
    const tail = (draft?.patches || []).slice(-patches.length);
    if (!draft || draft.count !== this.count + 1 || tail.map(same).join() !== patches.map(same).join()) {
      return false;
    }
    this.count = draft.count;
    this.waiting.splice(0, patches.length);
    this.keep();
    return true;
  }

  fail(error) {
    if (error.status === 409) {
      this.states('conflict', error.message);
      return;
    }
    if (error.status >= 400 && error.status < 500 && ![408, 429].includes(error.status)) {
      this.states('refused', error.message);
      return;
    }
    const pause = RETRY_S[Math.min(this.failures, RETRY_S.length - 1)];
    this.failures += 1;
    this.states('offline', `trying again in ${pause} s`);
    this.timer = setTimeout(this.again, pause * 1000);
  }

  /** Go on although another window of the same author saved in between: its strokes stay below. */
  async takeOver() {
    const draft = await askIfAny(this.path, { query: this.query });
    this.count = draft?.count || 0;
    await this.send();
  }

  /** Send nothing for now; resolves when nothing is under way, so that no save comes late. */
  async pause() {
    this.closed = true;
    clearTimeout(this.timer);
    await this.sending;
  }

  /** Go on after a pause. */
  goOn() {
    this.closed = false;
    this.send();
  }

  /** Stop; `forget` drops what waits, since it was submitted otherwise. */
  close(forget = false) {
    this.closed = true;
    clearTimeout(this.timer);
    window.removeEventListener('online', this.again);
    if (forget) {
      this.waiting = [];
      this.keep();
    }
  }
}
