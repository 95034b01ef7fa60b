import { createReadStream } from 'node:fs';
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Readable } from 'node:stream';
import { z } from 'zod';
import { KkError } from '../../shared/errors.ts';

/** The architectures an agent is built for, by Node's word for them. */
export const ARCHITECTURES = ['x64', 'arm64'] as const;
export type Architecture = (typeof ARCHITECTURES)[number];

const sha256 = z.string().regex(/^[0-9a-f]{64}$/);

/** `manifest.json` beside a packaged agent: what it is, and the digests everybody checks. Sizes in bytes. */
export const agentManifestSchema = z.object({
  version: z.string().regex(/^[0-9A-Za-z][0-9A-Za-z.+-]*$/),
  arch: z.enum(ARCHITECTURES),
  /** `kk-agent`, the executable itself. */
  binary: z.object({ sha256, size: z.number().int().positive() }),
  /** `kk-agent.gz`, what travels: `GET /agent/<sha256>`. */
  gz: z.object({ sha256, size: z.number().int().positive() }),
  /** Digest of everything the package was made from; the same inputs are not packaged twice. */
  inputs: sha256,
});
export type AgentManifest = z.infer<typeof agentManifestSchema>;

/** A packaged agent on the controller's disk. */
export interface AgentPackage {
  manifest: AgentManifest;
  /** Path of `kk-agent.gz`. */
  gzPath: string;
}

/** The compressed agent from its first byte, for a route or the ssh step. */
export function openAgent(agent: AgentPackage): Readable {
  return createReadStream(agent.gzPath);
}

/**
 * All packages under `folder` (`linux-x64/manifest.json`, ...), by architecture's name. A folder without a manifest is
 * passed over. Throws KkError AGENT_PACKAGE_MISSING when there is none, AGENT_PACKAGE_BROKEN when one cannot be read.
 */
export async function readAgentPackages(folder: string): Promise<AgentPackage[]> {
  const packages: AgentPackage[] = [];
  for (const name of (await readdir(folder).catch((): string[] => [])).sort()) {
    const text = await readFile(join(folder, name, 'manifest.json'), 'utf8').catch(() => undefined);
    if (text !== undefined) packages.push({ manifest: parse(text, name), gzPath: join(folder, name, 'kk-agent.gz') });
  }
  if (packages.length > 0) return packages;
  throw new KkError({
    code: 'AGENT_PACKAGE_MISSING',
    message: `There is no packaged agent in ${folder}.`,
    remedy: 'Run `npm run package-agent` once; nodes that already have an agent do not need it.',
  });
}

function parse(text: string, name: string): AgentManifest {
  try {
    return agentManifestSchema.parse(JSON.parse(text));
  } catch (cause) {
    throw new KkError({
      code: 'AGENT_PACKAGE_BROKEN',
      message: `The manifest of the packaged agent ${name} cannot be read.`,
      remedy: `Remove the folder ${name} and run \`npm run package-agent\` again.`,
      cause,
    });
  }
}
