import type { JournalRecord } from './records.ts';
import { isSent, JOURNAL_FORMAT } from './records.ts';

/**
 * The records that a rewritten journal keeps, in order: everything of runs that were not forgotten, and the last word on
 * what has only one value. Messages that are not acknowledged stay whatever became of their run: the controller expects
 * sequences without a gap. The header carries the last sequence on, so that numbers are never given twice. Pure.
 */
export function retained(records: readonly JournalRecord[]): JournalRecord[] {
  const forgottenAt = new Map<string, number>();
  let id = '';
  let sequence = 0;
  let acked = 0;
  const last = new Map<string, JournalRecord>();
  for (const [index, record] of records.entries()) {
    if (isSent(record)) sequence = Math.max(sequence, record.sequence);
    else if (record.type === 'journal') ({ id, sequence } = record);
    else if (record.type === 'forget') forgottenAt.set(record.run, index);
    else if (record.type === 'generation' || record.type === 'acked' || record.type === 'contact')
      last.set(record.type, record);
    if (record.type === 'acked') acked = record.sequence;
  }
  const isKept = (record: JournalRecord, index: number): boolean => {
    if (!('run' in record) || record.type === 'forget') return false;
    return index > (forgottenAt.get(record.run) ?? -1) || (isSent(record) && record.sequence > acked);
  };
  return [{ type: 'journal', format: JOURNAL_FORMAT, id, sequence }, ...last.values(), ...records.filter(isKept)];
}
