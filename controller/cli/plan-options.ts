import type { Command } from 'commander';
import { each, eachOfList, setVariable } from './options.ts';

/** The argument and options of every command that reads a plan. `argument`: when it is more than one plan. */
export function withPlanOptions(command: Command, argument = '<plan.yaml>'): Command {
  return command
    .argument(argument, 'the plan')
    .option('--set <name=value>', 'a variable, stronger than all in the plan; may be repeated', setVariable)
    .option('--tags <tags>', 'only tasks with one of these tags', eachOfList)
    .option('--skip-tags <tags>', 'no tasks with one of these tags', eachOfList)
    .option('--playbook-path <folder>', 'a folder of playbooks and roles to look in first; may be repeated', each);
}
