/** Error reports that come from somebody else: checked before they are believed. */
import { z } from 'zod';
import type { ErrorReport } from './errors.ts';
import { bytesJson } from './protocol/codec.ts';

/** An {@link ErrorReport} as it travels and is stored. */
export const ErrorReportShape = z.strictObject({
  code: z.string(),
  message: z.string(),
  remedy: z.string(),
  evidence: z.string().optional(),
  node: z.string().optional(),
  task: z.string().optional(),
  position: z.strictObject({ file: z.string(), line: z.number(), column: z.number() }).optional(),
});

/** The report in a bytes field; instead of one that cannot be read, one that says so of `who`. Never throws. */
export function reportIn(bytes: Uint8Array, who: string): ErrorReport {
  try {
    // A newer side may say more.
    return ErrorReportShape.strip().parse(bytesJson(bytes)) as ErrorReport;
  } catch {
    return {
      code: 'REPORT_MALFORMED',
      message: `${who} sent an error that cannot be read.`,
      remedy: 'Check that both sides have versions that fit (kk-controller version, kk-agent version), and their logs.',
    };
  }
}
