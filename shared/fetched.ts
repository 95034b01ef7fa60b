import { z } from 'zod';
import { Sha256 } from './blob.ts';

/** Bytes of one request: a slow line must bring it within the time that a request may take. */
export const PIECE = 512 * 1024;

/** One piece of a file that a node brings, as the query of `PUT /fetched`; the bytes are its body. */
export const Piece = z.strictObject({
  run: z.string().min(1).max(200),
  /** Index of the task in the graph. */
  task: z.coerce.number().int().min(0),
  /** On the node. */
  path: z.string().min(2).max(4096).startsWith('/'),
  /** From what the task asks for on: the end of `path`. */
  name: z.string().min(1).max(4096),
  sha256: Sha256,
  /** Of the whole file. */
  size: z.coerce.number().int().min(0),
  /** Where the piece begins. */
  offset: z.coerce.number().int().min(0),
});
export type Piece = z.infer<typeof Piece>;

/** `next`: where the next piece is to begin; `done`: the file lies where it belongs, `had`: it did before. */
export const PieceAnswer = z.object({ next: z.number(), done: z.boolean(), had: z.boolean() });
export type PieceAnswer = z.infer<typeof PieceAnswer>;
