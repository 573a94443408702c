using System.Globalization;
using System.Net;
using Overlay.Control.Model;
using Overlay.Dataplane.Forwarding;
using Overlay.Wire;

namespace Overlay.Agent.Configuration;

/// <summary>
/// Reads a file of routes, one a line: <c>PREFIX via PEER[*WEIGHT][,PEER…]</c>, or <c>local</c>, <c>blackhole</c>, <c>unreachable</c> or
/// <c>prohibit</c> in place of <c>via …</c>; then, as pairs, <c>segment NAME</c>, <c>priority N</c>, <c>metric N</c>, <c>direct MODE</c>. Empty lines
/// and what follows a # are left out. Made for a million lines: what stands behind the prefix is parsed once for all lines that have the same.
/// </summary>
/// <param name="problems">Of that file.</param>
internal sealed class RoutesFileReader(OverlaydOptions options, ConfigurationProblems problems)
{
    private readonly Dictionary<string, RouteState?> _tails = [];
    private readonly HashSet<string> _peers = [.. options.Peers.Select(peer => peer.Name.Value)];
    private readonly List<RouteState> _routes = [];

    public static RouteSet Read(OverlaydOptions options, string path, ConfigurationProblems problems)
    {
        string text;
        try
        {
            text = File.ReadAllText(path);
        }
        catch (Exception exception) when (exception is IOException or UnauthorizedAccessException)
        {
            problems.Add(0, $"cannot be read: {exception.Message.TrimEnd('.')}", "name a readable file as 'routesFile'");
            return RouteSet.Empty;
        }
        return Parse(options, text, problems);
    }

    /// <summary>As <see cref="Read"/>, for the text of a file.</summary>
    public static RouteSet Parse(OverlaydOptions options, string text, ConfigurationProblems problems)
    {
        var reader = new RoutesFileReader(options, problems);
        reader.ReadLines(text);
        if (problems.Any) return RouteSet.Empty;
        RouteSet set = RouteSet.Of(reader._routes);
        reader.CheckTwice(set);
        return set;
    }

    private void ReadLines(string text)
    {
        Dictionary<string, RouteState?>.AlternateLookup<ReadOnlySpan<char>> tails = _tails.GetAlternateLookup<ReadOnlySpan<char>>();
        int number = 0;
        foreach (ReadOnlySpan<char> whole in text.AsSpan().EnumerateLines())
        {
            number++;
            int comment = whole.IndexOf('#');
            ReadOnlySpan<char> line = (comment < 0 ? whole : whole[..comment]).Trim();
            if (line.IsEmpty) continue;
            int blank = line.IndexOfAny(' ', '\t');
            ReadOnlySpan<char> prefix = blank < 0 ? line : line[..blank];
            ReadOnlySpan<char> rest = blank < 0 ? default : line[blank..].Trim();
            if (!tails.TryGetValue(rest, out RouteState? tail))
            {
                tail = ReadTail(rest.ToString(), prefix.ToString(), number);
                tails[rest] = tail;
            }
            if (tail is not { } pattern || !TryReadPrefix(prefix, number, out UInt128 address, out int length)) continue;
            _routes.Add(new RouteState(address, length, pattern.Target, pattern.Segment)
            {
                Source = RouteSource.File,
                Priority = pattern.Priority,
                Metric = pattern.Metric,
                Line = number,
            });
        }
    }

    private bool TryReadPrefix(ReadOnlySpan<char> text, int line, out UInt128 address, out int length)
    {
        length = 0;
        int slash = text.IndexOf('/');
        if (slash > 0 && TryReadV4(text[..slash], out uint v4) && int.TryParse(text[(slash + 1)..], NumberStyles.None, CultureInfo.InvariantCulture, out length)
            && length <= 32 && (length == 32 || v4 << length == 0) && v4 >> 28 != 0xe)
        {
            address = IpBits.Mapped(v4);
            return true;
        }
        // Whatever is not plainly an IPv4 prefix.
        Refusal? refusal = ConfigurationValues.Prefix(text.ToString(), out IPNetwork network);
        if (refusal is { } refused) problems.Add(line, refused);
        address = refusal is null ? IpBits.V6OrMapped(network.BaseAddress) : 0;
        length = network.PrefixLength;
        return refusal is null;
    }

    /// <summary>Four decimal numbers without leading zeros.</summary>
    private static bool TryReadV4(ReadOnlySpan<char> text, out uint address)
    {
        address = 0;
        int parts = 0;
        int digits = 0;
        uint part = 0;
        foreach (char letter in text)
        {
            if (letter == '.')
            {
                if (digits == 0 || ++parts > 3) return false;
                address = address << 8 | part;
                part = 0;
                digits = 0;
                continue;
            }
            if (!char.IsAsciiDigit(letter) || (digits > 0 && part == 0)) return false;
            part = (part * 10) + (uint)(letter - '0');
            digits++;
            if (part > byte.MaxValue) return false;
        }
        address = address << 8 | part;
        return parts == 3 && digits > 0;
    }

    /// <returns>A route with everything but its prefix; null, with the reason among the problems, where anything is wrong.</returns>
    private RouteState? ReadTail(string tail, string prefix, int line)
    {
        string[] words = tail.Split((char[]?)null, StringSplitOptions.RemoveEmptyEntries);
        int at = words is ["via", ..] ? 2 : 1;
        string? segment = options.Segments.Count == 1 ? options.Segments[0].Name.Value : null;
        int priority = RouteState.DefaultPriority(RouteSource.File);
        int metric = 0;
        DirectMode? direct = null;
        Refusal? refusal = words.Length < at ? new Refusal($"route {prefix} says nothing", "write 'via' and a peer, or local, blackhole, unreachable or prohibit") : null;
        for (; refusal is null && at < words.Length; at += 2)
        {
            string value = at + 1 < words.Length ? words[at + 1] : "";
            refusal = words[at] switch
            {
                "segment" => ConfigurationValues.Name(value, out segment),
                "priority" => ConfigurationValues.Integer(1, byte.MaxValue)(value, out priority),
                "metric" => ConfigurationValues.Integer(0, int.MaxValue)(value, out metric),
                "direct" => ReadDirect(value, out direct),
                _ => new Refusal($"route {prefix}: '{words[at]}' is not known", "write pairs of segment, priority, metric or direct and their value"),
            };
        }
        RouteTargetState? target = null;
        refusal ??= CheckSegment(segment, prefix);
        if (refusal is null)
        {
            DirectMode mode = direct ?? options.Segments.First(each => each.Name.Value == segment).Direct.Value;
            refusal = ReadTarget(words, prefix, mode, out target);
        }
        if (refusal is null && direct is not null and not DirectMode.Never && target!.Action != RouteAction.Peer)
            refusal = new Refusal($"direct of route {prefix} is for routes to one peer", "leave it out, or name one peer");
        if (refusal is { } refused)
        {
            problems.Add(line, refused);
            return null;
        }
        return new RouteState(0, 0, target!, segment!) { Source = RouteSource.File, Priority = (byte)priority, Metric = (uint)metric };
    }

    private static Refusal? ReadDirect(string text, out DirectMode? value)
    {
        Refusal? refusal = RouteReader.DirectModes(text, out DirectMode mode);
        value = mode;
        return refusal;
    }

    private Refusal? CheckSegment(string? segment, string prefix)
    {
        if (segment is null) return new Refusal($"route {prefix} names no segment", "write 'segment' and the name of one, since there are several");
        SegmentOptions? found = options.Segments.FirstOrDefault(each => each.Name.Value == segment);
        if (found is null)
        {
            string nearest = NearestWord.Of(segment, options.Segments.Select(each => each.Name.Value));
            return new Refusal($"route {prefix} names the segment '{segment}', which is not listed", $"did you mean '{nearest}'?");
        }
        return found.Bridging is null ? null : new Refusal($"route {prefix} is for segment '{segment}', which is bridged and has no routes", "leave it out");
    }

    private Refusal? ReadTarget(string[] words, string prefix, DirectMode direct, out RouteTargetState? target)
    {
        target = null;
        if (words[0] != "via")
        {
            Refusal? refusal = RouteReader.Actions(words[0], out RouteTargetState action);
            target = action;
            return refusal is { } refused ? refused with { Remedy = $"{refused.Remedy}, or 'via' and a peer" } : null;
        }
        var members = new List<WeightedPeer>();
        foreach (string part in words[1].Split(','))
        {
            string[] nameAndWeight = part.Split('*');
            string name = nameAndWeight[0];
            int weight = 1;
            if (ConfigurationValues.Name(name, out _) is { } bad) return bad;
            if (nameAndWeight.Length > 2) return new Refusal($"'{part}' has two weights", $"write {name}*2");
            if (nameAndWeight.Length == 2 && ConfigurationValues.Integer(1, WeightedPeer.MostWeight)(nameAndWeight[1], out weight) is { } wrong) return wrong;
            if (!_peers.Contains(name))
            {
                return new Refusal(
                    $"route {prefix} names the peer '{name}', which is not listed",
                    _peers.Count == 0 ? "list it under 'peers:' of the configuration" : $"did you mean '{NearestWord.Of(name, _peers)}'?");
            }
            if (members.Exists(member => member.Name == name)) return new Refusal($"peer '{name}' is in the peers of route {prefix} twice", $"write {name}*2");
            members.Add(new WeightedPeer(name, weight));
        }
        if (members.Count > PeerGroup.MostMembers) return new Refusal($"route {prefix} has {members.Count} peers", $"keep them to {PeerGroup.MostMembers}");
        target = members.Count == 1 ? RouteTargetState.To(members[0].Name, direct) : RouteTargetState.To(members);
        return null;
    }

    private void CheckTwice(RouteSet set)
    {
        ReadOnlySpan<RouteState> routes = set.All;
        for (int i = 1; i < routes.Length; i++)
        {
            ref readonly RouteState route = ref routes[i];
            ref readonly RouteState other = ref routes[i - 1];
            if (!route.HasPrefixOf(other) || route.Priority != other.Priority || route.Metric != other.Metric) continue;
            (int first, int second) = route.Line > other.Line ? (other.Line, route.Line) : (route.Line, other.Line);
            problems.Add(
                second, $"route {route.Prefix} was listed in line {first} already", "keep one of them, or give them different priorities or metrics");
        }
    }
}
