/** `sha256sum` as GNU and BSD write it, or the digest alone. */
const LISTED = /^([0-9a-fA-F]{64})(?:\s+\*?(?:.*\/)?([^/\s]+))?\s*$/;
const LISTED_BSD = /^SHA256 \((?:.*\/)?([^/)]+)\) = ([0-9a-fA-F]{64})\s*$/;

/** The sha256 that a checksum file tells of a file by its name without folders, in lower case; undefined: it tells none. */
export function sha256In(text: string, name: string): string | undefined {
  for (const line of text.split('\n')) {
    const [, digest, of = name] = LISTED.exec(line) ?? [];
    if (digest !== undefined && of === name) return digest.toLowerCase();
    const [, ofBsd, digestBsd] = LISTED_BSD.exec(line) ?? [];
    if (digestBsd !== undefined && ofBsd === name) return digestBsd.toLowerCase();
  }
  return undefined;
}
