import {
  closeSync,
  fstatSync,
  ftruncateSync,
  openSync,
  readFileSync,
  readSync,
  renameSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import type { Disk, DurableFile } from '../../agent/durable/disk.ts';

/**
 * The disks of simulated machines: files that outlive a killed process, but that are never synced, since thousands of
 * machines share this one's disk. A simulated power cut loses nothing that was written: that is the torture test's business.
 */
export const quickDisk: Disk = {
  async open(path) {
    const handle = openSync(path, 'a+', 0o600);
    closeSync(handle);
    const content = readFileSync(path);
    return { file: quickFile(openSync(path, 'r+'), content.length), content };
  },
  async replace(path, bytes) {
    writeFileSync(`${path}.new`, bytes, { mode: 0o600 });
    renameSync(`${path}.new`, path);
  },
};

function quickFile(handle: number, size: number): DurableFile {
  let end = size;
  return {
    async append(bytes) {
      for (let done = 0; done < bytes.length; ) done += writeSync(handle, bytes, done, bytes.length - done, end + done);
      end += bytes.length;
    },
    async sync() {},
    async read(position, wanted) {
      const bytes = Buffer.alloc(Math.min(wanted, Math.max(0, fstatSync(handle).size - position)));
      return bytes.subarray(0, readSync(handle, bytes, 0, bytes.length, position));
    },
    // A courtesy for disks that go wrong; this one does not.
    async mark() {},
    async truncate(to) {
      ftruncateSync(handle, to);
      end = to;
    },
    async close() {
      closeSync(handle);
    },
  };
}
