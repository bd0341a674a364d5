// Makes the container that the tests use: object stores are given to Orion with it.
import { BlobServiceClient, StorageSharedKeyCredential } from "@azure/storage-blob";

const [url, account, key, name] = process.argv.slice(2);
const service = new BlobServiceClient(url, new StorageSharedKeyCredential(account, key));
await service.getContainerClient(name).create();
