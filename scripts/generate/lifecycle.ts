import { STEP_STATES, STEP_TRANSITIONS, type StepState } from '../../shared/lifecycle.ts';

/** What a state means to a person who reads a report. A state without its line does not compile. */
const MEANING: Readonly<Record<StepState, string>> = {
  waiting: 'nothing has begun; a need, a gate, a permit or a slot is missing',
  begun: 'at work on its node, or about to be taken up again after a restart',
  ok: 'as the plan wants it, changed or not',
  skipped: '`when` was false, the loop was empty, or a person took it out; satisfies what needs it',
  failed: 'ended badly; satisfies what needs it only with `ignore_errors`',
  interrupted: 'died with its machine, and nothing can say how far it came: a person must look',
  blocked: 'never began: something it needs did not end well; the cause is named',
  cancelled: 'ended, or never began, because a person cancelled',
  unreachable: 'the node was not heard of for longer than its lease; it may come back and tell',
};

/** The page of states and transitions, drawn from the table that apply-event itself obeys. */
export async function lifecyclePage(): Promise<string> {
  const arrows = STEP_STATES.flatMap((from) => STEP_TRANSITIONS[from].map((to) => `  ${from} --> ${to}`));
  const ends = STEP_STATES.filter((state) => STEP_TRANSITIONS[state].length === 0).map((state) => `  ${state} --> [*]`);
  const rows = STEP_STATES.map(
    (state) =>
      `| \`${state}\` | ${MEANING[state]} | ${STEP_TRANSITIONS[state].map((to) => `\`${to}\``).join(', ') || '-'} |`,
  );
  return `# The life of a step

Made by \`npm run generate\` from \`STEP_TRANSITIONS\` in [shared/lifecycle.ts](../../shared/lifecycle.ts), the table that
the controller obeys: an event that would make another transition changes nothing.

\`\`\`mermaid
stateDiagram-v2
  [*] --> waiting
${[...arrows, ...ends].join('\n')}
\`\`\`

| state | means | may become |
|---|---|---|
${rows.join('\n')}
`;
}
