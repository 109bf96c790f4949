// The one stage and viewer of this page: setting up the graphics takes longer than a next query.

import { Stage } from './stage.js';
import { Viewer } from './viewer.js';

/** Stage and viewer, set up at most once; `attached` resolves when they can show something. */
export class Desk {
  constructor() {
    this.stage = new Stage();
    this.viewer = new Viewer(this.stage.picture);
    this.soon = null;
  }

  attached() {
    if (!this.soon) this.soon = this.viewer.attach();
    return this.soon;
  }
}
