import type { JournalRecord } from './records.ts';
import { isSent, JOURNAL_FORMAT } from './records.ts';

/**
 * The records that a rewritten journal keeps, in order: everything of runs that were not forgotten, and the last word on
 * what has only one value. The header carries the last sequence on, so that numbers are never given twice. Pure.
 */
export function retained(records: readonly JournalRecord[]): JournalRecord[] {
  const forgottenAt = new Map<string, number>();
  let id = '';
  let sequence = 0;
  const last = new Map<string, JournalRecord>();
  for (const [index, record] of records.entries()) {
    if (isSent(record)) sequence = Math.max(sequence, record.sequence);
    else if (record.type === 'journal') ({ id, sequence } = record);
    else if (record.type === 'forget') forgottenAt.set(record.run, index);
    else if (record.type === 'generation' || record.type === 'acked' || record.type === 'contact')
      last.set(record.type, record);
  }
  const kept = records.filter(
    (r, index) => 'run' in r && r.type !== 'forget' && index > (forgottenAt.get(r.run) ?? -1),
  );
  return [{ type: 'journal', format: JOURNAL_FORMAT, id, sequence }, ...last.values(), ...kept];
}
