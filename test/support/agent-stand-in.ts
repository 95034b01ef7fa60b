/** A small `kk-agent` for tests of how an agent gets onto a machine: it installs itself and writes down what it got. */
import { createHash, X509Certificate } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import { createServer, type Server } from 'node:https';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import type { AgentPackage } from '../../controller/bootstrap/agent-package.ts';
import { keyToPem, makeCa, makeKey } from '../../controller/pki/certs.ts';

/** What the stand-in heard at its last installation; `processes` are the command lines and environments around it. */
export interface Heard {
  args: string[];
  stdin: string;
  processes: string;
}

const sha256 = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex');

/** Packs the stand-in into `folder`, where it also leaves what it hears. `body` runs before it installs itself. */
export function standInAgent(folder: string, body = ''): AgentPackage & { heard: () => Heard; binary: Buffer } {
  const binary = Buffer.from(`#!/bin/sh
[ "$1" = version ] && { echo 0.1.0; exit 0; }
shift
${body}
cat >${folder}/stdin
printf '%s\\n' "$@" >${folder}/args
cat /proc/[0-9]*/cmdline /proc/self/environ 2>/dev/null | tr '\\0' ' ' >${folder}/processes
mkdir -p /usr/local/lib/kk-agent/1
cp "$0" /usr/local/lib/kk-agent/1/new && mv /usr/local/lib/kk-agent/1/new /usr/local/lib/kk-agent/1/kk-agent
ln -sfn 1 /usr/local/lib/kk-agent/current
echo "kk: joined" >&2
`);
  const gz = gzipSync(binary);
  const gzPath = join(folder, 'kk-agent.gz');
  writeFileSync(gzPath, gz);
  return {
    binary,
    gzPath,
    manifest: {
      version: '0.1.0',
      arch: process.arch === 'arm64' ? 'arm64' : 'x64',
      binary: { sha256: sha256(binary), size: binary.length },
      gz: { sha256: sha256(gz), size: gz.length },
      inputs: sha256(binary),
    },
    heard: () => ({
      args: readFileSync(join(folder, 'args'), 'utf8').trim().split('\n'),
      stdin: readFileSync(join(folder, 'stdin'), 'utf8'),
      processes: readFileSync(join(folder, 'processes'), 'utf8'),
    }),
  };
}

/** A server with what a controller serves to a machine that joins, and the requests it saw. */
export async function controllerStandIn(agent: AgentPackage, joinScript: () => string) {
  const key = await makeKey();
  const validity = { notBefore: Date.now() - 3_600_000, notAfter: Date.now() + 3_600_000 };
  const random = (size: number): Uint8Array => Buffer.alloc(size, 7);
  const certificate = await makeCa({ name: 'stand-in', key, pathLength: 0, validity, random });
  const requests: string[] = [];
  const clock = { offset: 0 };
  const server: Server = createServer({ key: keyToPem(key), cert: certificate.toString() }, (request, response) => {
    requests.push(request.url ?? '');
    response.setHeader('date', new Date(Date.now() + clock.offset).toUTCString());
    if (request.url === '/join.sh') response.end(joinScript());
    else if (request.url === `/agent/${agent.manifest.gz.sha256}`) response.end(readFileSync(agent.gzPath));
    else response.writeHead(404).end();
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as { port: number };
  const pin = createHash('sha256')
    .update(new X509Certificate(certificate.toString()).publicKey.export({ type: 'spki', format: 'der' }))
    .digest('base64');
  return { endpoint: `https://127.0.0.1:${port}`, port, pin, requests, clock, close: () => server.close() };
}
