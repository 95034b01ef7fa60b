import { z } from 'zod';
import { patternOf } from '../pattern.ts';
import { defineAction } from './define-action.ts';
import { given } from './fields.ts';
import { WEB, WebAddress } from './web.ts';

/** One question to a web server; `until` and `retries` of the task ask it again. What it does there is not undone. */
export const http = defineAction({
  kind: 'http',
  version: 1,
  summary: 'ask a web server, and judge its answer',
  input: z
    .strictObject({
      url: WebAddress,
      method: z.enum(['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE']).default('GET'),
      body: z.string().max(1_000_000).optional(),
      /** A value that is sent as JSON. */
      json: z.json().optional(),
      /** The status that is expected; unstated: any of 2xx. */
      status: z.union([z.int().min(100).max(599), z.array(z.int().min(100).max(599)).min(1)]).optional(),
      /** A regular expression that is found in the answer. */
      match: z
        .string()
        .min(1)
        .max(1000)
        .refine((text) => patternOf(text) !== undefined, 'not a valid regular expression')
        .optional(),
      ...WEB,
    })
    .refine((input) => given(input, ['body', 'json']).length <= 1, 'give at most one of body and json')
    .refine(
      (input) => given(input, ['body', 'json']).length === 0 || !['GET', 'HEAD'].includes(input.method),
      'GET and HEAD have no body',
    ),
  output: z.object({
    status: z.int(),
    /** Names in lower case; 8 KiB in all. */
    headers: z.record(z.string(), z.string()),
    /** The first 64 KiB. */
    body: z.string(),
    /** Where the answer says that it is JSON, and is whole. */
    json: z.json().optional(),
    bytes: z.number(),
    duration_ms: z.number(),
  }),
  shorthand: (value) => (typeof value === 'string' ? { url: value } : undefined),
  changes: false,
  repeatable: (input) => input.method === 'GET' || input.method === 'HEAD',
  undo: 'nothing',
  example: {
    url: 'http://127.0.0.1:10248/healthz',
    match: '^ok$',
    timeout_seconds: 5,
  },
});
