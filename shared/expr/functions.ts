import { type Callable, fail, wantNumber } from './callable.ts';

/** Every function by name. `node(selector)` is grammar, not a function: see the AST. */
export const functions: ReadonlyMap<string, Callable> = new Map<string, Callable>([
  [
    'range',
    {
      about: 'Whole numbers: range(stop), range(start, stop) or range(start, stop, step).',
      params: ['start', 'stop', 'step'],
      required: 1,
      apply(_self, args, call) {
        const first = wantNumber(args.get('start'), call);
        const given = args.get('stop');
        const [from, to] = given === undefined ? [0, first] : [first, wantNumber(given, call)];
        const step = wantNumber(args.get('step') ?? 1, call);
        if (![from, to, step].every(Number.isInteger) || step === 0) {
          fail(call, 'EXPR_TYPE', 'it takes whole numbers, and a step other than 0');
        }
        const length = Math.max(0, Math.ceil((to - from) / step));
        const most = call.budget.limits.range;
        if (length > most) fail(call, 'EXPR_LIMIT', `more than ${most} numbers`);
        call.budget.spend(length, call.at);
        return Array.from({ length }, (_none, index) => from + index * step);
      },
    },
  ],
]);
