import { KkError } from '../../../shared/errors.ts';
import type { LocalDone, LocalWork } from './local-action.ts';

interface Question {
  work: LocalWork;
  answer(yes: boolean, by: string): void;
}

/** What runs wait for a person to confirm. Asked anew by the next controller when this one ends. */
export class Confirmations {
  readonly #open = new Set<Question>();

  /** The action `confirm`. Throws KkError CONFIRM_REFUSED. */
  readonly act = (work: LocalWork): Promise<LocalDone> =>
    new Promise((resolve, reject) => {
      const question: Question = {
        work,
        answer: (yes, by) => {
          this.#open.delete(question);
          if (yes) resolve({ changed: false, output: { by } });
          else reject(refused(by));
        },
      };
      if (work.signal.aborted) {
        reject(work.signal.reason);
        return;
      }
      this.#open.add(question);
      work.signal.addEventListener('abort', () => {
        this.#open.delete(question);
        reject(work.signal.reason);
      });
    });

  /** Answers everything that the run waits for now, or what the one task or node asks. Throws KkError CONFIRM_NOT_ASKED. */
  answer(run: string, { yes, by, task, node }: { yes: boolean; by: string; task?: string; node?: string }): void {
    const asked = [...this.#open].filter(
      ({ work }) =>
        work.run === run && (task === undefined || work.task === task) && (node === undefined || work.node === node),
    );
    if (asked.length === 0) {
      throw new KkError({
        code: 'CONFIRM_NOT_ASKED',
        message: `Run ${run} waits for nobody to confirm anything.`,
        remedy: `See where it is: \`kk-controller logs ${run}\`.`,
      });
    }
    for (const question of asked) question.answer(yes, by);
  }
}

function refused(by: string): KkError {
  return new KkError({
    code: 'CONFIRM_REFUSED',
    message: `${by === '' ? 'Somebody' : by} said no.`,
    remedy: 'Nothing that comes after it was begun. Apply the plan again when it may be done.',
  });
}
