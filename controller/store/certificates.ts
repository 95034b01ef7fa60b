import type { CertificateLedger, IssuedCertificate } from '../pki/ports.ts';
import type { Database } from './database.ts';
import type { Row } from './worker.ts';

export interface Certificates extends CertificateLedger {
  /** Of a plan, or of all of them, by when they end. */
  list(plan?: string): Promise<IssuedCertificate[]>;
  /** Marks those that a task of a run had issued to a node; returns what was not revoked before. */
  revoke(of: Pick<IssuedCertificate, 'plan' | 'run' | 'task' | 'node'>, nowMs: number): Promise<IssuedCertificate[]>;
}

/** The certificates of clusters: the record as JSON, what is asked for as columns. */
export function certificateStore(database: Database): Certificates {
  return {
    async ofKey(plan, ca, keyHash) {
      const sql = 'SELECT body FROM certificates WHERE plan = ? AND ca = ? AND key_hash = ? ORDER BY not_after DESC';
      return (await database.select(sql, plan, ca, keyHash)).map(issuedIn);
    },
    async add(issued) {
      const { serial, plan, ca, keyHash, notAfter } = issued;
      const sql = 'INSERT INTO certificates (serial, plan, ca, key_hash, not_after, body) VALUES (?, ?, ?, ?, ?, ?)';
      await database.transact([{ sql, values: [serial, plan, ca, keyHash, notAfter, JSON.stringify(issued)] }]);
    },
    async list(plan) {
      const rows =
        plan === undefined
          ? await database.select('SELECT body FROM certificates ORDER BY not_after')
          : await database.select('SELECT body FROM certificates WHERE plan = ? ORDER BY not_after', plan);
      return rows.map(issuedIn);
    },
    async revoke({ plan, run, task, node }, nowMs) {
      const isOfStep = (one: IssuedCertificate): boolean => one.run === run && one.task === task && one.node === node;
      const found = (await this.list(plan)).filter((one) => isOfStep(one) && one.revokedMs === undefined);
      const sql = 'UPDATE certificates SET body = ? WHERE serial = ?';
      const marked = found.map((one) => ({
        sql,
        values: [JSON.stringify({ ...one, revokedMs: nowMs }), one.serial],
      }));
      if (marked.length > 0) await database.transact(marked);
      return found;
    },
  };
}

function issuedIn(row: Row): IssuedCertificate {
  return JSON.parse(String(row['body'])) as IssuedCertificate;
}
