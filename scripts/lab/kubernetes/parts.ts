import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parse } from 'yaml';

/** A checksum file beside a release: `bare` holds the digest alone, `named` a line as sha256sum writes it. */
export interface ChecksumPart {
  path: string;
  form: 'bare' | 'named';
}

/** One file of a release: the path on the mirror, and where its bytes are, with `{place}`s to be filled in. */
export interface FilePart {
  path: string;
  from: string;
  checksum: ChecksumPart;
}

/** A tar archive of a release: member -> where its bytes are. */
export interface ArchivePart {
  path: string;
  members: Readonly<Record<string, string>>;
  checksum: ChecksumPart;
}

/** An image `name:tag`: `files` (globs) with the libraries they need, and `add`: path in the image -> where its bytes are. */
export interface ImagePart {
  name: string;
  entry?: readonly string[];
  files?: readonly string[];
  add?: Readonly<Record<string, string>>;
}

/** parts.yaml as it is written. */
export interface Parts {
  kubernetes: { version: string; archive: string; folder: string };
  packages: readonly string[];
  node_packages: readonly string[];
  files: readonly FilePart[];
  archives: readonly ArchivePart[];
  images: readonly ImagePart[];
}

export const PARTS_FILE = join(import.meta.dirname, 'parts.yaml');

/** What the mirror is made of; the file is this folder's own, so its shape is not checked again. */
export function readParts(): Parts {
  return parse(readFileSync(PARTS_FILE, 'utf8'));
}

/** Folders that the `{place}`s of parts.yaml stand for. */
export type Places = Readonly<Record<'binaries' | 'debs' | 'base' | 'own' | 'made', string>>;

/** `text` with its `{place}` filled in. */
export function located(text: string, places: Places): string {
  return text.replace(/^\{(\w+)\}/, (whole, name: string) => places[name as keyof Places] ?? whole);
}

/** Where kubectl is on the mirror. */
export const KUBECTL = 'dl.k8s.io/release/v1.20.2/bin/linux/amd64/kubectl';
