namespace Overlay.Agent.Control;

/// <summary>A small file that is replaced as a whole, and on the disk when that returns.</summary>
internal static class DurableFile
{
    public static void Write(string path, ReadOnlySpan<byte> content)
    {
        string next = path + ".next";
        File.Delete(next);
        using var file = new FileStream(next, new FileStreamOptions
        {
            Mode = FileMode.CreateNew,
            Access = FileAccess.Write,
            UnixCreateMode = UnixFileMode.UserRead | UnixFileMode.UserWrite,
            BufferSize = 0,
        });
        file.Write(content);
        file.Flush(flushToDisk: true);
        File.Move(next, path, overwrite: true);
        // Once more, now that it has its name: journaling file systems write the renaming with it.
        file.Flush(flushToDisk: true);
    }
}
