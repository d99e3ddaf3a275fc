import java.io.*;
import java.nio.charset.StandardCharsets;
import java.security.*;
import java.util.*;
import java.util.zip.*;

/** Tells what java.util.zip sees in archives; see views.py. */
class ViewByJava {
    public static void main(String[] args) throws Exception {
        BufferedReader paths =
            new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        boolean streams = args[0].equals("ZipInputStream");
        for (String path; (path = paths.readLine()) != null; ) {
            List<String> told = new ArrayList<>();
            try {
                if (streams) viewStream(path, told);
                else viewFile(path, told);
                // A stream that does not begin with a member is no archive to it.
                if (streams && told.isEmpty()) told.add("refused");
            } catch (IOException | RuntimeException error) {
                told = List.of("refused");
            }
            System.out.println(String.join(" ", told));
        }
    }

    static void viewFile(String path, List<String> told) throws Exception {
        try (ZipFile archive = new ZipFile(path)) {
            for (ZipEntry entry : Collections.list(archive.entries())) {
                tell(entry, archive.getInputStream(entry), told);
            }
        }
    }

    static void viewStream(String path, List<String> told) throws Exception {
        try (ZipInputStream archive =
                new ZipInputStream(new BufferedInputStream(new FileInputStream(path)))) {
            for (ZipEntry entry; (entry = archive.getNextEntry()) != null; ) {
                tell(entry, archive, told);
            }
        }
    }

    static void tell(ZipEntry entry, InputStream contents, List<String> told) throws Exception {
        if (entry.isDirectory()) return;
        MessageDigest digest = MessageDigest.getInstance("SHA-256");
        byte[] piece = new byte[1 << 20];
        for (int read; (read = contents.read(piece)) >= 0; ) digest.update(piece, 0, read);
        byte[] hash = Arrays.copyOf(digest.digest(), 8);
        HexFormat hex = HexFormat.of();
        byte[] name = entry.getName().getBytes(StandardCharsets.UTF_8);
        told.add(hex.formatHex(name) + "=" + hex.formatHex(hash));
    }
}
