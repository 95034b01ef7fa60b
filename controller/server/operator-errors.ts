import type { FastifyReply } from 'fastify';
import type { z } from 'zod';
import { type ErrorReport, KkError, KkErrors, reportOf } from '../../shared/errors.ts';

/** A body that fits its schema. Throws KkError REQUEST_INVALID naming each offending field. */
export function bodyOf<S extends z.ZodType>(schema: S, body: unknown): z.output<S> {
  const parsed = schema.safeParse(body ?? undefined);
  if (parsed.success) return parsed.data;
  const issues = parsed.error.issues.map((issue) => `${issue.path.join('.') || 'the body'}: ${issue.message}`);
  throw invalid(`The request is not understood: ${issues.slice(0, 5).join('; ')}.`);
}

export function invalid(message: string): KkError {
  return new KkError({
    code: 'REQUEST_INVALID',
    message,
    remedy: 'Use a kk-controller command of the same version as the running controller (`kk-controller version`).',
  });
}

/** What a thrown thing is to the asker: `{problems}` for many, `{error}` for one. */
export function sendError(reply: FastifyReply, thrown: unknown): FastifyReply {
  if (thrown instanceof KkErrors) return reply.code(422).send({ problems: thrown.reports });
  const report = fromFastify(thrown) ?? reportOf(thrown);
  return reply.code(statusOf(report)).send({ error: report });
}

function statusOf(report: ErrorReport): number {
  if (report.code === 'INTERNAL') return 500;
  if (report.code === 'REQUEST_TOO_LARGE') return 413;
  if (report.code === 'REQUEST_INVALID') return 400;
  return report.code.endsWith('_UNKNOWN') ? 404 : 422;
}

/** Refusals of the HTTP layer itself, in our words. */
function fromFastify(thrown: unknown): ErrorReport | undefined {
  const { code, statusCode, message } = thrown as { code?: string; statusCode?: number; message?: string };
  if (thrown instanceof KkError || code === undefined || !code.startsWith('FST_')) return undefined;
  if (statusCode === 413) {
    return {
      code: 'REQUEST_TOO_LARGE',
      message: 'The plan with its roles and files is too large for one request (64 MiB).',
      remedy: 'Keep large files out of roles; let a task download them.',
    };
  }
  return statusCode !== undefined && statusCode < 500 ? invalid(`${message ?? code}.`).report : undefined;
}
