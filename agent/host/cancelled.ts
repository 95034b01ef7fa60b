/** Why work is aborted: its run was cancelled. */
export class Cancelled extends Error {
  override name = 'Cancelled';
  /** Between TERM and KILL; 0: what the task says. */
  readonly graceMs: number;

  constructor(graceMs: number) {
    super('the run was cancelled');
    this.graceMs = graceMs;
  }
}
