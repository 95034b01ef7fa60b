import { type Command, InvalidArgumentError } from 'commander';
import { parse as parseYaml } from 'yaml';
import type { Json, Vars } from '../../shared/share.ts';
import { each, eachOfList } from './options.ts';

/** The argument and options of every command that reads a plan. `argument`: when it is more than one plan. */
export function withPlanOptions(command: Command, argument = '<plan.yaml>'): Command {
  return withPlanVariables(command.argument(argument, 'the plan'))
    .option('--tags <tags>', 'only tasks with one of these tags', eachOfList)
    .option('--skip-tags <tags>', 'no tasks with one of these tags', eachOfList);
}

/** The options that say what is in a plan. */
export function withPlanVariables(command: Command): Command {
  return command
    .option('--set <name=value>', 'a variable, stronger than all in the plan; may be repeated', setVariable)
    .option('--playbook-path <folder>', 'a folder of playbooks and roles to look in first; may be repeated', each);
}

/** `--set key=value`, `--set a.b=3`: the value is read as YAML, so numbers, booleans and lists are what they look like. */
function setVariable(text: string, before: Vars | undefined): Vars {
  const at = text.indexOf('=');
  const path = at < 1 ? [] : text.slice(0, at).split('.');
  if (path.length === 0 || path.some((word) => !/^[A-Za-z_]\w*$/.test(word))) {
    throw new InvalidArgumentError('Write name=value, for example kube_version=v1.34.1 or etcd.port=2379.');
  }
  return merged(before ?? {}, path, readValue(text.slice(at + 1)));
}

function readValue(text: string): Json {
  try {
    return parseYaml(text) as Json;
  } catch {
    return text;
  }
}

function merged(vars: Vars, [head = '', ...rest]: string[], value: Json): Vars {
  if (rest.length === 0) return { ...vars, [head]: value };
  const inner = vars[head];
  const isMap = typeof inner === 'object' && inner !== null && !Array.isArray(inner);
  return { ...vars, [head]: merged(isMap ? inner : {}, rest, value) };
}
