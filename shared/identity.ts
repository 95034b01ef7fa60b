/**
 * Who is who, as text: node names, SPIFFE ids and join tokens. Both sides read them here and nowhere else.
 * Pure: no keys are made and nothing is signed in this file.
 */

const NAME_MAX = 63;
const LABEL = '[a-z0-9](?:[a-z0-9-]*[a-z0-9])?';
const NAME = new RegExp(`^${LABEL}(?:\\.${LABEL})*$`);
const FLEET = /^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;
const SPIFFE = /^spiffe:\/\/([^/]+)\/(?:(controller)|node\/([^/]+))$/;
const TOKEN = /^kk1\.([0-9a-f]{16})\.([A-Za-z0-9_-]{43})\.([0-9a-f]{64})$/;

/** What a valid node name looks like, for messages. */
export const NODE_NAME_RULE =
  'lower-case letters, digits, "-" and "."; each part begins and ends with a letter or digit; 63 characters at most';

/**
 * A node's name in the inventory: RFC 1123 labels joined by dots, 63 characters in all. The limit is the one of a
 * Kubernetes label value, so that a name fits wherever Kubernetes puts it.
 */
export function isNodeName(name: string): boolean {
  return name.length <= NAME_MAX && NAME.test(name);
}

/** A fleet id: a lower-case UUID. One controller state folder is one fleet. */
export function isFleetId(text: string): boolean {
  return FLEET.test(text);
}

/** The URI SAN of the controller's certificate. Agents look for this, never for an address. */
export function controllerUri(fleetId: string): string {
  return `spiffe://${fleetId}/controller`;
}

/** The URI SAN of a node's certificate. */
export function nodeUri(fleetId: string, name: string): string {
  return `spiffe://${fleetId}/node/${name}`;
}

/** What a SPIFFE id of ours says. */
export type SpiffeId = { kind: 'controller'; fleetId: string } | { kind: 'node'; fleetId: string; name: string };

/** Reads a URI SAN; undefined when it is not one of the two shapes we issue. */
export function parseSpiffeUri(uri: string): SpiffeId | undefined {
  const [, fleetId, controller, name] = SPIFFE.exec(uri) ?? [];
  if (fleetId === undefined || !isFleetId(fleetId)) return undefined;
  if (controller !== undefined) return { kind: 'controller', fleetId };
  return name !== undefined && isNodeName(name) ? { kind: 'node', fleetId, name } : undefined;
}

/** A public key for people to compare, from the hex sha256 of its SubjectPublicKeyInfo; in the form ssh-keygen has. */
export function keyFingerprint(hash: string): string {
  return `SHA256:${Buffer.from(hash, 'hex').toString('base64').replace(/=+$/, '')}`;
}

/** The parts of a join token's text `kk1.<id>.<secret>.<caHash>`. */
export interface TokenText {
  /** 16 hex digits; not secret, names the token in lists and logs. */
  id: string;
  /** 32 random bytes, base64url. Never stored, never logged. */
  secret: string;
  /** sha256 (hex) of the root certificate's DER: how the agent knows the controller before it has a bundle. */
  caHash: string;
}

/** Reads a join token's text; surrounding white space (a pasted line break) does not matter. */
export function parseToken(text: string): TokenText | undefined {
  const [, id, secret, caHash] = TOKEN.exec(text.trim()) ?? [];
  return id !== undefined && secret !== undefined && caHash !== undefined ? { id, secret, caHash } : undefined;
}

/** The inverse of {@link parseToken}. */
export function formatToken({ id, secret, caHash }: TokenText): string {
  return `kk1.${id}.${secret}.${caHash}`;
}
