import protobuf from 'protobufjs/light.js';
import { KkError } from '../errors.ts';
import schema from './gen/kk.json' with { type: 'json' };
import { FRAME_LIMIT } from './level.ts';
import type { ForAgent, FromAgent, ToAgent, ToController } from './messages.ts';

// 64-bit fields are sequences, sizes and milliseconds: all below 2^53, so plain numbers serve and Long objects do not.
protobuf.util.Long = undefined as never;
protobuf.configure();

const root = protobuf.Root.fromJSON(schema as protobuf.INamespace);
const ToControllerType = root.lookupType('kk.v1.ToController');
const ToAgentType = root.lookupType('kk.v1.ToAgent');

const PLAIN: protobuf.IConversionOptions = { defaults: true, arrays: true, enums: String, longs: Number, oneofs: true };

function malformed(detail: string): KkError {
  return new KkError({
    code: 'FRAME_MALFORMED',
    message: `The other side sent a frame that is no kk message: ${detail}.`,
    remedy:
      'Check that the port belongs to kk and that both sides have versions that fit (kk-controller version, kk-agent version).',
  });
}

function decode(type: protobuf.Type, bytes: Uint8Array): Record<string, unknown> {
  if (bytes.length > FRAME_LIMIT) throw malformed(`${bytes.length} bytes, the limit is ${FRAME_LIMIT}`);
  try {
    return type.toObject(type.decode(bytes), PLAIN);
  } catch (cause) {
    throw malformed(cause instanceof Error ? cause.message : String(cause));
  }
}

function encode(type: protobuf.Type, head: Record<string, unknown>, kind: string, value: unknown): Uint8Array {
  const fields = kind === 'none' ? head : { ...head, [kind]: value };
  return type.encode(type.fromObject(fields)).finish();
}

/** One message of an agent as a frame. `sequence`: 0 unless durable; `after`: 0 unless numbers are skipped. */
export function encodeToController(message: FromAgent, sequence = 0, after = 0): Uint8Array {
  return encode(ToControllerType, { sequence, after }, message.kind, message.value);
}

/**
 * One frame from an agent. Returns undefined for a body this level does not know (ignored by promise).
 * Throws KkError FRAME_MALFORMED for anything else that does not decode.
 */
export function decodeToController(bytes: Uint8Array): ToController | undefined {
  const plain = decode(ToControllerType, bytes);
  const kind = plain['body'];
  if (typeof kind !== 'string') return undefined;
  return { sequence: plain['sequence'], after: plain['after'], kind, value: plain[kind] } as ToController;
}

/** One message for an agent as a frame; `kind: 'none'` carries only the ack. */
export function encodeToAgent(message: ForAgent | { kind: 'none' }, ack = 0): Uint8Array {
  return encode(ToAgentType, { ack }, message.kind, 'value' in message ? message.value : undefined);
}

/** One frame from the controller; an unknown body decodes as `kind: 'none'`. Throws KkError FRAME_MALFORMED. */
export function decodeToAgent(bytes: Uint8Array): ToAgent {
  const plain = decode(ToAgentType, bytes);
  const kind = plain['body'];
  const ack = plain['ack'] as number;
  if (typeof kind !== 'string') return { ack, kind: 'none' };
  return { ack, kind, value: plain[kind] } as ToAgent;
}

const utf8 = new TextEncoder();
const text = new TextDecoder('utf-8', { fatal: true });

/** JSON inside a bytes field. */
export function jsonBytes(value: unknown): Uint8Array {
  return utf8.encode(JSON.stringify(value));
}

/** The JSON of a bytes field, unchecked in shape: the reader validates it. Throws KkError FRAME_MALFORMED. */
export function bytesJson(bytes: Uint8Array): unknown {
  try {
    return JSON.parse(text.decode(bytes));
  } catch (cause) {
    throw malformed(cause instanceof Error ? cause.message : String(cause));
  }
}
