namespace Overlay.Control.Configuration.Yaml;

/// <summary>Parses the text of a value; a refusal says what is wrong with it.</summary>
public delegate Refusal? ValueParser<T>(string text, out T value);

/// <summary>
/// Reads one mapping key by key. The keys asked for are the keys it knows: <see cref="RefuseUnknownKeys"/>, called last, refuses all others.
/// </summary>
/// <param name="mapping">The mapping; null where the section is absent.</param>
/// <param name="name">How to call the section in errors: <c>underlay</c>, <c>segment 'pods'</c>.</param>
/// <param name="line">Line to blame for what is missing.</param>
public sealed class YamlSection(YamlMapping? mapping, string name, int line, ConfigurationProblems problems)
{
    private readonly List<string> _known = [];

    public string Name { get; set; } = name;

    public int Line { get; } = mapping?.Line ?? line;

    /// <summary>A value that must be there. Null, with the reason among the problems, where it is not or is refused.</summary>
    public Located<T>? Required<T>(string key, string example, ValueParser<T> parse)
    {
        YamlNode? node = Find(key);
        if (node is not (null or YamlScalar { IsNull: true })) return Parse(key, node, parse);
        problems.Add(node?.Line ?? Line, $"{Name} has no '{key}'", $"write '{key}: {example}'");
        return null;
    }

    /// <summary>A value that may be absent. Null where it is, or is refused.</summary>
    public Located<T>? Optional<T>(string key, ValueParser<T> parse) =>
        Find(key) is { } node and not YamlScalar { IsNull: true } ? Parse(key, node, parse) : null;

    /// <summary>A value with a default, which also stands in for a refused one.</summary>
    public Located<T> OrDefault<T>(string key, T fallback, ValueParser<T> parse) =>
        Optional(key, parse) ?? new Located<T>(fallback, Line);

    /// <summary>A list of values; empty where absent.</summary>
    public IReadOnlyList<Located<T>> List<T>(string key, ValueParser<T> parse)
    {
        var values = new List<Located<T>>();
        foreach (YamlNode item in Items(key))
        {
            if (Parse(key, item, parse) is { } value) values.Add(value);
        }
        return values;
    }

    /// <summary>True where a key is given, and not empty.</summary>
    public bool Has(string key) => Find(key) is not (null or YamlScalar { IsNull: true });

    /// <summary>Refuses keys that another value of the section leaves without a meaning.</summary>
    public void Refuse(IEnumerable<string> keys, string why, string remedy)
    {
        foreach (string key in keys)
        {
            if (Find(key) is { } node) problems.Add(node.Line, $"'{key}' of {Name} {why}", remedy);
        }
    }

    /// <summary>The mapping under a key; an empty section where it is absent.</summary>
    public YamlSection Section(string key)
    {
        YamlNode? node = Find(key);
        if (node is not (null or YamlMapping or YamlScalar { IsNull: true }))
            problems.Add(node.Line, $"'{key}' is {node.Kind}", $"write a mapping under '{key}:'");
        return new YamlSection(node as YamlMapping, key, node?.Line ?? Line, problems);
    }

    /// <summary>The mappings of the list under a key; empty where absent.</summary>
    public IEnumerable<YamlSection> Sections(string key, string itemName)
    {
        foreach (YamlNode item in Items(key))
        {
            if (item is YamlMapping found) yield return new YamlSection(found, itemName, found.Line, problems);
            else problems.Add(item.Line, $"{itemName} is {item.Kind}", $"write a mapping for each item of '{key}'");
        }
    }

    /// <summary>Refuses every key that was not asked for, naming the nearest known one.</summary>
    public void RefuseUnknownKeys()
    {
        foreach (YamlEntry entry in mapping?.Entries ?? [])
        {
            if (_known.Contains(entry.Key)) continue;
            problems.Add(entry.Line, $"{Name} knows no key '{entry.Key}'", $"did you mean '{NearestWord.Of(entry.Key, _known)}'?");
        }
    }

    private YamlNode? Find(string key)
    {
        if (!_known.Contains(key)) _known.Add(key);
        foreach (YamlEntry entry in mapping?.Entries ?? [])
        {
            if (entry.Key == key) return entry.Value;
        }
        return null;
    }

    private IReadOnlyList<YamlNode> Items(string key)
    {
        switch (Find(key))
        {
            case null or YamlScalar { IsNull: true }:
                return [];
            case YamlSequence sequence:
                return sequence.Items;
            case { } other:
                problems.Add(other.Line, $"'{key}' is {other.Kind}", $"write a list: '{key}: [...]' or one '- ' line an item");
                return [];
        }
    }

    private Located<T>? Parse<T>(string key, YamlNode node, ValueParser<T> parse)
    {
        if (node is not YamlScalar scalar)
        {
            problems.Add(node.Line, $"'{key}' of {Name} is {node.Kind}", "write a single value");
            return null;
        }
        if (parse(scalar.Text, out T value) is { } refusal)
        {
            problems.Add(node.Line, $"'{key}' of {Name}: {refusal.Wrong}", refusal.Remedy);
            return null;
        }
        return new Located<T>(value, node.Line);
    }
}
