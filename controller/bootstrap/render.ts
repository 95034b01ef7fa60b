/** Filling the shell scripts with values. Pure but for reading the script files, which are part of the program. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { AgentManifest } from './agent-package.ts';

/** A clock that is off by more than this is refused, seconds: certificates, logs and etcd need better than that. */
export const MAX_SKEW_SECONDS = 300;

/** What both scripts are filled with. */
export interface NodeScriptValues {
  /** `https://host:port`, best first. */
  endpoints: readonly string[];
  /** base64 of the sha256 of the controller's SubjectPublicKeyInfo, as curl's --pinnedpubkey takes it. */
  pin: string;
  agents: readonly AgentManifest[];
}

const PIN = /^[A-Za-z0-9+/]{43}=$/;
const HOST = /^(?:\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9.-]+)$/;

/**
 * A whole script: the values, what both have in common, then `script`. Every value is checked against its shape before
 * it becomes shell, so that none can be more than a value.
 */
export function renderNodeScript(
  script: 'join.sh' | 'remote.sh',
  values: NodeScriptValues,
  further: Readonly<Record<string, string | number>> = {},
): string {
  const agents = values.agents.map(
    ({ arch, gz, binary }) => `${arch} ${gz.sha256} ${gz.size} ${binary.sha256} ${binary.size}`,
  );
  const variables = {
    KK_ENDPOINTS: values.endpoints.map(checkedEndpoint).join(' '),
    KK_PIN: checkedPin(values.pin),
    KK_AGENTS: agents.join('\n'),
    KK_MAX_SKEW: MAX_SKEW_SECONDS,
    ...further,
  };
  const assignments = Object.entries(variables).map(([name, value]) => `${name}=${shellQuote(String(value))}`);
  return ['#!/bin/sh', ...assignments, part('node.sh'), part(script)].join('\n');
}

/** `text` as one word of a POSIX shell. */
export function shellQuote(text: string): string {
  return `'${text.replaceAll("'", `'\\''`)}'`;
}

/** `https://host:port` and nothing more. Throws a plain error: an endpoint comes from checked configuration. */
export function checkedEndpoint(endpoint: string): string {
  const [, host, port] = /^https:\/\/(.+):(\d{1,5})$/.exec(endpoint) ?? [];
  if (host === undefined || !HOST.test(host) || Number(port) < 1 || Number(port) > 65_535) {
    throw new Error(`not an endpoint: ${JSON.stringify(endpoint)}`);
  }
  return endpoint;
}

/** A pin in curl's form, without `sha256//`. */
export function checkedPin(pin: string): string {
  if (!PIN.test(pin)) throw new Error(`not a sha256 in base64: ${JSON.stringify(pin)}`);
  return pin;
}

function part(name: string): string {
  return readFileSync(join(import.meta.dirname, name), 'utf8');
}
