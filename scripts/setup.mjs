// Set-up for every npm script: installs the packages when they are missing or do not match the lock file.
// Plain JavaScript for whatever Node runs npm (20 or later); everything else runs on the Node 24 of the packages.
import { spawnSync } from 'node:child_process';
import { readFileSync, statSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const quiet = process.argv.includes('--quiet');

/** The packages of a lock file as text to compare; npm keeps the installed one in node_modules. */
function packagesOf(path) {
  try {
    const { packages } = JSON.parse(readFileSync(join(root, path), 'utf8'));
    return Object.entries(packages).filter(([name]) => name !== '');
  } catch {
    return undefined;
  }
}

/** Every installed package has the version of the lock file. What is missing is optional, for another platform. */
function upToDate() {
  const wanted = packagesOf('package-lock.json');
  const installed = new Map(packagesOf('node_modules/.package-lock.json') ?? []);
  if (!wanted || installed.size === 0) return false;
  return wanted.every(([name, { version, optional }]) =>
    installed.has(name) ? installed.get(name).version === version : optional === true,
  );
}

function nodeIsThere() {
  try {
    return statSync(join(root, 'node_modules/.bin/node')).isFile();
  } catch {
    return false;
  }
}

if (!upToDate()) {
  if (!quiet) process.stderr.write('Installing packages (npm ci) ...\n');
  const npm = spawnSync('npm', ['ci', '--no-audit', '--no-fund', '--loglevel', 'error'], {
    cwd: root,
    stdio: ['ignore', 2, 2],
  });
  if (npm.status !== 0) {
    process.stderr.write(
      'kk: SETUP_FAILED: npm ci did not succeed.\n  do: look at the lines above; npm must reach its registry.\n',
    );
    process.exit(1);
  }
}
if (!nodeIsThere() && Number(process.versions.node.split('.')[0]) < 24) {
  process.stderr.write(
    `kk: NODE_OLD: Node ${process.versions.node} is too old and there is no Node 24 package for this platform.\n` +
      '  do: install Node 24 or later and run this again.\n',
  );
  process.exit(1);
}
