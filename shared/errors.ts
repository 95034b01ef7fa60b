/** Where a text stands in a file a person wrote; line and column count from 1. */
export interface Position {
  file: string;
  line: number;
  column: number;
}

/** The serialised form of a {@link KkError}: what crosses the wire, lands in the store and is printed by `-o json`. */
export interface ErrorReport {
  /** Stable, SCREAMING_SNAKE; people search for it, programs switch on it. */
  code: string;
  /** One sentence: what went wrong, with the offending value. */
  message: string;
  /** What to do about it, as an instruction. */
  remedy: string;
  /** What was seen that led to this: output, numbers, paths. Never a secret. */
  evidence?: string;
  node?: string;
  task?: string;
  position?: Position;
}

/** An error a person may meet. Everything else that is thrown is our bug. */
export class KkError extends Error {
  readonly report: ErrorReport;

  constructor(report: ErrorReport & { cause?: unknown }) {
    const { cause, ...rest } = report;
    super(report.message, cause === undefined ? undefined : { cause });
    this.name = 'KkError';
    this.report = rest;
  }

  get code(): string {
    return this.report.code;
  }

  get remedy(): string {
    return this.report.remedy;
  }
}

/** Many problems of one input, found together (a plan is checked whole before anything runs). */
export class KkErrors extends Error {
  readonly reports: readonly ErrorReport[];

  constructor(reports: readonly ErrorReport[]) {
    super(reports.map((r) => r.message).join('\n'));
    this.name = 'KkErrors';
    this.reports = reports;
  }
}

/** The report of anything thrown; what is not a {@link KkError} is named INTERNAL and asks to be reported. */
export function reportOf(thrown: unknown): ErrorReport {
  if (thrown instanceof KkError) return thrown.report;
  if (thrown instanceof KkErrors && thrown.reports[0]) return thrown.reports[0];
  const message = thrown instanceof Error ? thrown.message : String(thrown);
  return { code: 'INTERNAL', message, remedy: 'This is a defect in kk: please report it with the lines above.' };
}

/** `cause` codes of failed system calls, asked by name. */
export function isSystemError(thrown: unknown, code: string): boolean {
  return thrown instanceof Error && (thrown as NodeJS.ErrnoException).code === code;
}
