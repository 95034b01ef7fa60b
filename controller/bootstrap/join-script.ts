/** The one-liner that makes a machine a node, and the script it fetches (ENGINE 4.5). */
import { isNodeName } from '../../shared/identity.ts';
import { checkedEndpoint, checkedPin, type NodeScriptValues, renderNodeScript, shellQuote } from './render.ts';

/**
 * The text of `GET /join.sh`. It holds nothing secret and is the same for every node; `endpoints` begins best with the
 * one the request came in by. What the script needs from the network afterwards it believes by the pin and by sha256.
 */
export function renderJoinScript(values: NodeScriptValues): string {
  return renderNodeScript('join.sh', values);
}

/** What goes into a join line. */
export interface JoinLine {
  endpoint: string;
  pin: string;
  /** The token's text; absent: the line asks for it on the terminal. */
  token?: string;
  /** The node's name; absent: the machine's host name. */
  name?: string;
  /** The machine joins anew even where it is that node already: its certificate may be a revoked one. */
  replace?: true;
}

/**
 * The line to paste on a machine, as root. -k with a pinned key is stricter than a name in a certificate: exactly this
 * controller's key answers, or curl reads nothing. The token is an environment variable of `sh` alone: it is neither in
 * an argument nor seen by curl.
 */
export function joinCommand(line: JoinLine): string {
  return `${fetchScript(line, 'curl')} | ${shell(line)}`;
}

/** The same for a machine that has GNU wget 1.18 or later and no curl. */
export function joinCommandWget(line: JoinLine): string {
  return `${fetchScript(line, 'wget')} | ${shell(line)}`;
}

/** Prints the join script on standard output, if it is this controller's. */
export function fetchScript(line: JoinLine, by: 'curl' | 'wget'): string {
  const program = by === 'curl' ? `curl -fsS -k --noproxy '*'` : 'wget -qO- --no-check-certificate --no-proxy';
  return `${program} ${pinOption(line)} ${scriptUrl(line)}`;
}

function pinOption(line: JoinLine): string {
  return `--pinnedpubkey sha256//${checkedPin(line.pin)}`;
}

function scriptUrl(line: JoinLine): string {
  return `${shellWord(checkedEndpoint(line.endpoint))}/join.sh`;
}

function shell(line: JoinLine): string {
  const token = line.token === undefined ? '' : `KK_JOIN_TOKEN=${shellWord(line.token)} `;
  return `${token}${scriptEnvironment(line)}sh`;
}

/** Variables of the script before its `sh`, but for the token; each is followed by a space. */
export function scriptEnvironment({ name, replace }: JoinLine): string {
  if (name !== undefined && !isNodeName(name)) throw new Error(`not a node name: ${JSON.stringify(name)}`);
  return `${name === undefined ? '' : `KK_NODE_NAME=${name} `}${replace ? 'KK_REPLACE=1 ' : ''}`;
}

function shellWord(text: string): string {
  return /^[A-Za-z0-9._:/+=-]+$/.test(text) ? text : shellQuote(text);
}
