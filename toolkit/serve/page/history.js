// Undo and redo over states that never change.

const MOST = 200;

export class History {
  constructor(present, past = [], future = []) {
    this.present = present;
    this.past = past;
    this.future = future;
  }

  push(state) {
    if (state === this.present) return;
    this.past.push(this.present);
    if (this.past.length > MOST) this.past.shift();
    this.present = state;
    this.future = [];
  }

  /** Replace the present, without a step of its own to undo. */
  amend(state) {
    this.present = state;
  }

  undo() {
    if (!this.past.length) return false;
    this.future.push(this.present);
    this.present = this.past.pop();
    return true;
  }

  redo() {
    if (!this.future.length) return false;
    this.past.push(this.present);
    this.present = this.future.pop();
    return true;
  }
}
