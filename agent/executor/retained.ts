import { LIVES } from '../../shared/protocol/level.ts';
import type { JournalRecord } from './records.ts';
import { isSent, JOURNAL_FORMAT } from './records.ts';

/** Refusals of shares that were never held: as many are kept to be told to a controller that was set back. */
const REFUSALS = 64;
/** The last runs that were forgotten: a step that was at work then may end after the file was rewritten. */
const FORGOTTEN = 256;

/**
 * The records that a rewritten journal keeps, in order: everything of runs that are held, and the last word on what has
 * only one value. Messages that are not acknowledged stay whatever became of their run: the controller expects sequences
 * without a gap; as long as they do, it stays known that their run was forgotten, and they go when they are acknowledged.
 * The header carries the last sequence on, so that numbers are never given twice. Pure.
 */
export function retained(records: readonly JournalRecord[]): JournalRecord[] {
  /** Where the records of a run that is held begin; nowhere: it was forgotten. */
  const held = new Map<string, number>();
  /** The word that forgot a run, newest last. */
  const forgets = new Map<string, JournalRecord>();
  const last = new Map<string, JournalRecord>();
  const refusals: JournalRecord[] = [];
  const lives: JournalRecord[] = [];
  let id = '';
  let sequence = 0;
  let acked = 0;
  for (const [index, record] of records.entries()) {
    if (isSent(record)) sequence = Math.max(sequence, record.sequence);
    else if (record.type === 'journal') ({ id, sequence } = record);
    else if (record.type === 'push') held.set(record.run, Math.min(index, held.get(record.run) ?? index));
    else if (record.type === 'forget') {
      held.set(record.run, Number.POSITIVE_INFINITY);
      forgets.delete(record.run);
      forgets.set(record.run, record);
    } else if (record.type === 'generation' || record.type === 'acked' || record.type === 'contact')
      last.set(record.type, record);
    if (record.type === 'acked') acked = record.sequence;
    if (record.type === 'life') lives.push(record);
    if (record.type === 'refused') refusals.push(record);
  }
  const told = new Set([...forgets.values()].slice(-FORGOTTEN).concat(refusals.slice(-REFUSALS)));
  for (const record of records) {
    const forget = isSent(record) && record.sequence > acked ? forgets.get(record.run) : undefined;
    if (forget !== undefined) told.add(forget);
  }
  const isKept = (record: JournalRecord, index: number): boolean => {
    if (!('run' in record)) return false;
    if (record.type === 'forget') return told.has(record);
    if (isSent(record) && record.sequence > acked) return true;
    const begins = held.get(record.run);
    return record.type === 'refused' && begins === undefined ? told.has(record) : index >= (begins ?? 0);
  };
  const header: JournalRecord = { type: 'journal', format: JOURNAL_FORMAT, id, sequence };
  return [header, ...last.values(), ...lives.slice(-LIVES), ...records.filter(isKept)];
}
