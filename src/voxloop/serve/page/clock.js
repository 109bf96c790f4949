// Seconds of work: pauses are not counted.

const IDLE_S = 30;

/** Counts time from one sign of activity to the next, at most IDLE_S of each gap. */
export class WorkClock {
  constructor(seconds = 0) {
    this.seconds = seconds;
    this.last = performance.now();
  }

  touch() {
    const now = performance.now();
    this.seconds += Math.min((now - this.last) / 1000, IDLE_S);
    this.last = now;
  }
}
