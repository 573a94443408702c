using Overlay.Csi.Static;

namespace Overlay.Csi.Pools;

/// <summary>What a pool's folder is on.</summary>
internal enum PoolBacking
{
    /// <summary>It is a folder of the host.</summary>
    Folder,

    /// <summary>It is an xfs in a file.</summary>
    Image,

    /// <summary>It is an xfs on a block device that was handed over.</summary>
    Device,
}

/// <param name="Name">Value of the StorageClass parameter <c>pool</c>.</param>
/// <param name="Folder">Where its images are; nothing else in it is called <c>vol-…</c> or <c>snap-…</c>.</param>
/// <param name="Source">File or device that is mounted there; empty for a folder.</param>
/// <param name="Bytes">Length of the file; 0 for the others.</param>
internal sealed record PoolOptions(string Name, string Folder, PoolBacking Backing, string Source, long Bytes)
{
    /// <summary>xfs has at least this, since xfsprogs 5.19.</summary>
    private const long SmallestBytes = 300L << 20;

    /// <param name="texts"><c>NAME=PLACE</c> each.</param>
    /// <param name="state">Folder of the records, below which images and devices are mounted.</param>
    /// <param name="problems">Gets a line for each thing that is wrong.</param>
    public static IReadOnlyList<PoolOptions>? ParseAll(IReadOnlyList<string> texts, string state, List<string> problems)
    {
        var pools = new List<PoolOptions>();
        foreach (string text in texts)
        {
            int equals = text.IndexOf('=', StringComparison.Ordinal);
            string name = equals < 0 ? "" : text[..equals];
            string place = text[(equals + 1)..];
            if (name.Length is 0 or > 63 || !name.All(letter => char.IsAsciiLetterOrDigit(letter) || letter is '-' or '_'))
            {
                problems.Add($"--pool '{text}': write NAME=PLACE; a name has letters, digits, '-' and '_'");
            }
            else if (pools.Any(pool => pool.Name == name))
            {
                problems.Add($"--pool '{text}': {name} was given already");
            }
            else if (Parse(name, place, Path.Combine(state, "pools", name), out string? wrong) is { } pool)
            {
                pools.Add(pool);
            }
            else
            {
                problems.Add($"--pool '{text}': {wrong}");
            }
        }
        if (texts.Count == 0) problems.Add("--pool is missing: write NAME=/absolute/folder for each folder that holds volumes");
        return problems.Count == 0 ? pools : null;
    }

    private static PoolOptions? Parse(string name, string place, string mount, out string? wrong)
    {
        const string image = "image:", device = "device:";
        if (place.StartsWith(image, StringComparison.Ordinal))
        {
            string[] parts = place[image.Length..].Split(',');
            wrong = parts.Length != 2 || !Path.IsPathFullyQualified(parts[0]) ? "write NAME=image:/absolute/file,SIZE, such as fast=image:/srv/fast.img,100Gi"
                : !AllowedSource.TryParseBytes(parts[1], out long bytes) || bytes < SmallestBytes ? $"'{parts[1]}' is no size of at least 300Mi"
                : !Directory.Exists(Path.GetDirectoryName(parts[0])) ? $"{Path.GetDirectoryName(parts[0])} is no folder; make it first"
                : null;
            return wrong is null && AllowedSource.TryParseBytes(parts[1], out long size) ? new PoolOptions(name, mount, PoolBacking.Image, parts[0], size / 4096 * 4096) : null;
        }
        if (place.StartsWith(device, StringComparison.Ordinal))
        {
            string node = place[device.Length..];
            wrong = Path.IsPathFullyQualified(node) ? null : "write NAME=device:/dev/NODE";
            return wrong is null ? new PoolOptions(name, mount, PoolBacking.Device, node, 0) : null;
        }
        wrong = !Path.IsPathFullyQualified(place) ? "write NAME=/absolute/folder"
            : !Directory.Exists(place) ? $"{place} is no folder; make it, or mount its disk, first"
            : null;
        return wrong is null ? new PoolOptions(name, Path.TrimEndingDirectorySeparator(place), PoolBacking.Folder, "", 0) : null;
    }
}
