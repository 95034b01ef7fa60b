import { stringify } from 'yaml';
import { settingsOf } from './settings.ts';

/** All defaults as the YAML of `spec.config`, each with what it means behind it. */
export function clusterDefaultsText(): string {
  const lines = settingsOf().map(({ path, isGroup, default: usual, about, choices }) => {
    const keys = path.split('.');
    const indent = '  '.repeat(keys.length - 1);
    const value = isGroup ? '' : ` ${stringify(usual, { collectionStyle: 'flow', lineWidth: 0 }).trim()}`;
    const notes = [choices?.filter((choice) => choice !== '').join(' | '), about].filter((note) => note);
    return `${indent}${keys.at(-1)}:${value}${notes.length === 0 ? '' : `  # ${notes.join('; ')}`}`;
  });
  return `${lines.join('\n')}\n`;
}
