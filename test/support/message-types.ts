import ts from 'typescript';

/** What messages.ts says of one message: field -> its type in the words of kk.proto (`string`, `uint32[]`, `Hello`). */
export type Fields = Readonly<Record<string, string>>;

/** Reads the interfaces of messages.ts. `bodies` gives, for ToControllerBodies and ToAgentBodies, kind -> fields. */
export class MessageTypes {
  readonly #declared = new Map<string, ts.InterfaceDeclaration | ts.TypeAliasDeclaration>();

  constructor(source: string) {
    const file = ts.createSourceFile('messages.ts', source, ts.ScriptTarget.Latest);
    for (const statement of file.statements) {
      if (ts.isInterfaceDeclaration(statement) || ts.isTypeAliasDeclaration(statement)) {
        this.#declared.set(statement.name.text, statement);
      }
    }
  }

  /** kind -> fields of the body of that kind. */
  bodies(name: 'ToControllerBodies' | 'ToAgentBodies'): Record<string, Fields> {
    return Object.fromEntries(this.#members(name).map(({ key, type }) => [key, this.fields(type)]));
  }

  /** Fields of a message, named or written in place; those it inherits come first. */
  fields(type: ts.TypeNode | string): Fields {
    return Object.fromEntries(this.#members(type).map(({ key, type }) => [key, this.#word(type)]));
  }

  #members(type: ts.TypeNode | string): { key: string; type: ts.TypeNode }[] {
    if (typeof type !== 'string' && ts.isTypeReferenceNode(type)) return this.#members(nameOf(type.typeName));
    const declared = typeof type === 'string' ? this.#declared.get(type) : undefined;
    if (declared !== undefined && ts.isTypeAliasDeclaration(declared)) return this.#members(declared.type);
    const shape = declared ?? type;
    if (typeof shape === 'string' || !(ts.isTypeLiteralNode(shape) || ts.isInterfaceDeclaration(shape))) return [];
    const inherited = ts.isInterfaceDeclaration(shape) ? (shape.heritageClauses ?? []) : [];
    const base = inherited
      .flatMap((clause) => clause.types)
      .flatMap(({ expression }) => this.#members(nameOf(expression)));
    const own = shape.members.flatMap((member) =>
      ts.isPropertySignature(member) && member.type ? [{ key: nameOf(member.name), type: member.type }] : [],
    );
    return [...base, ...own];
  }

  /** Enums come out as their values, sorted; the kinds of numbers are one in TypeScript. */
  #word(type: ts.TypeNode): string {
    if (ts.isArrayTypeNode(type)) return `${this.#word(type.elementType)}[]`;
    const values = this.#values(type);
    if (values.length > 0) return values.sort().join(' | ');
    if (ts.isTypeReferenceNode(type)) return nameOf(type.typeName);
    return ts.tokenToString(type.kind) ?? ts.SyntaxKind[type.kind];
  }

  #values(type: ts.TypeNode): string[] {
    if (ts.isUnionTypeNode(type)) return type.types.flatMap((one) => this.#values(one));
    if (ts.isLiteralTypeNode(type) && ts.isStringLiteral(type.literal)) return [type.literal.text];
    const named = ts.isTypeReferenceNode(type) ? this.#declared.get(nameOf(type.typeName)) : undefined;
    return named !== undefined && ts.isTypeAliasDeclaration(named) ? this.#values(named.type) : [];
  }
}

function nameOf(node: ts.Node): string {
  return ts.isIdentifier(node) ? node.text : '';
}
