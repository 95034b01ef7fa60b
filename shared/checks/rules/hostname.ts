import { z } from 'zod';
import { Facts } from '../../facts.ts';
import { defineRule, fail, pass, unknown, warn } from '../define-rule.ts';

/** A label of RFC 1123 section 2.1, lower case as Kubernetes wants object names. */
const LABEL = /^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$/;

/** The kubelet registers the node under this name. */
export const hostname = defineRule({
  name: 'hostname',
  summary: 'the hostname is a lower-case RFC 1123 name, short enough and not a placeholder',
  needs: 'facts',
  facts: Facts.pick({ hostname: true }),
  params: z.strictObject({
    /** The node's name in the inventory. */
    inventory_name: z.string(),
    maximum_length: z.int().min(1),
    /** Names that every fresh machine has. */
    refused: z.array(z.string()),
  }),
  judge(facts, params) {
    const name = facts.hostname;
    const evidence = { hostname: name, inventory_name: params.inventory_name };
    const remedy = `set a name with \`hostnamectl set-hostname ${params.inventory_name}\``;
    if (name === '') return unknown('the hostname could not be read', 'check /proc/sys/kernel/hostname on the node');
    if (params.refused.includes(name)) {
      return fail(`the hostname is "${name}", which other machines have too`, remedy, evidence);
    }
    if (name.length > params.maximum_length) {
      return fail(
        `the hostname "${name}" has ${name.length} characters, at most ${params.maximum_length} are possible`,
        remedy,
        evidence,
      );
    }
    const wrong = name.split('.').find((label) => !LABEL.test(label));
    if (wrong !== undefined) {
      return fail(
        `the hostname "${name}" is not a lower-case RFC 1123 name: "${wrong}" is not made of a-z, 0-9 and inner hyphens, at most 63`,
        remedy,
        evidence,
      );
    }
    if (name !== params.inventory_name && !name.startsWith(`${params.inventory_name}.`)) {
      return warn(
        `the hostname is "${name}", the inventory calls the node "${params.inventory_name}"`,
        `${remedy}, or rename the node in the inventory`,
        evidence,
      );
    }
    return pass(`the hostname "${name}" is a valid node name`, evidence);
  },
});
